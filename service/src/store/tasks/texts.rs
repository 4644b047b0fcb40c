//! SQLite's full-text index of the tasks: brought up to date once for each commit, whichever writes share it.

use diesel::connection::{AnsiTransactionManager, TransactionManager as _};
use diesel::result::Error::DatabaseError;
use diesel::sql_types::Integer;
use diesel::{QueryResult, RunQueryDsl as _, SqliteConnection};

use super::super::statement::Statement;

const PENDING: &str = "SELECT 1 FROM tasks_text_pending LIMIT 1";
/// What the index has of a task goes before what comes, in the order of the tasks' numbers: out of it, the index would begin
/// another segment. Both come in that order and are merged; `CROSS JOIN` keeps SQLite from looking through the tasks for them.
const INDEX: &str = "INSERT INTO tasks_text (tasks_text, rowid, title, description, project_key) \
    SELECT 'delete' AS command, number, title, description, project_key FROM tasks_text_pending WHERE indexed \
    UNION ALL SELECT NULL, p.number, t.title, t.description, t.project_key \
      FROM tasks_text_pending p CROSS JOIN tasks t ON t.number = p.number \
    ORDER BY number, command DESC";
const DONE: &str = "DELETE FROM tasks_text_pending";
const NO_TABLE: &str = "no such table: tasks_text_pending";
const REBUILD: &str = "INSERT INTO tasks_text (tasks_text) VALUES ('rebuild')";

/// Brings the index up to date with what the triggers have noted in this transaction. A file whose migrations are pending has
/// triggers that index by themselves.
pub(in crate::store) fn index(connection: &mut SqliteConnection) -> QueryResult<()> {
    match is_pending(connection) {
        Ok(true) => index_pending(connection),
        Ok(false) => Ok(()),
        Err(error) if says(&error, NO_TABLE) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The same for what another program, or an older version of this one, has written and not indexed.
pub(in crate::store) fn catch_up(connection: &mut SqliteConnection) -> QueryResult<()> {
    match is_pending(connection) {
        Ok(true) => {}
        Err(error) if !says(&error, NO_TABLE) => return Err(error),
        _ => return Ok(()), // no lock is taken
    }
    AnsiTransactionManager::begin_transaction_sql(connection, "BEGIN IMMEDIATE")?;
    match index(connection) {
        Ok(()) => AnsiTransactionManager::commit_transaction(connection),
        Err(error) => {
            AnsiTransactionManager::rollback_transaction(connection)?;
            Err(error)
        }
    }
}

fn is_pending(connection: &mut SqliteConnection) -> QueryResult<bool> {
    let rows: Vec<(i32,)> = Statement::<(Integer,)>::new(PENDING, vec![]).load(connection)?;
    Ok(!rows.is_empty())
}

fn index_pending(connection: &mut SqliteConnection) -> QueryResult<()> {
    match Statement::<()>::new(INDEX, vec![]).execute(connection) {
        // Made anew from the tasks, which may take long where there are many: else each write would fail from now on.
        Err(error) if is_corrupt(&error) => {
            Statement::<()>::new(REBUILD, vec![]).execute(connection)?;
            tracing::warn!(event = "text_index_rebuilt", error = %error, "the full-text index was made anew");
        }
        other => drop(other?),
    }
    Statement::<()>::new(DONE, vec![]).execute(connection)?;
    Ok(())
}

/// Whether FTS5 found that the index is not what it should be, as far as it notices: what is taken out of it and was never in it
/// may leave words behind.
fn is_corrupt(error: &diesel::result::Error) -> bool {
    says(error, "malformed") || says(error, "fts5: corrup")
}

fn says(error: &diesel::result::Error, what: &str) -> bool {
    matches!(error, DatabaseError(_, information) if information.message().contains(what))
}

#[cfg(test)]
mod tests {
    use diesel::connection::SimpleConnection as _;
    use proptest::prelude::*;

    use super::*;
    use crate::store::migrate;
    use crate::store::statement::binds;

    /// What a write does to a task's text.
    #[derive(Debug, Clone, Copy)]
    enum Step {
        Insert,
        Text(usize),
        Project(usize),
        Status,
        Delete,
    }

    const TEXTS: [&str; 3] = ["'plain', NULL", "'two words', 'and a description'", "'', 'words'"];
    const PROJECTS: [&str; 2] = ["x'01'", "x'02'"];

    fn sql(number: i64, step: Step) -> String {
        let update = |set: String| format!("UPDATE tasks SET {set} WHERE number = {number}");
        match step {
            Step::Insert => format!(
                "INSERT INTO tasks (number, id, project_id, title, status, priority, labels, created_by, created_at, updated_at, \
                 version) VALUES ({number}, randomblob(16), x'01', 'new', 'todo', 0, '[]', x'00', 0, 0, 1) ON CONFLICT DO NOTHING"
            ),
            Step::Text(which) => update(format!("(title, description) = ({})", TEXTS[which])),
            Step::Project(which) => update(format!("project_id = {}", PROJECTS[which])),
            Step::Status => update("status = 'done', deleted_at = 1".to_owned()),
            Step::Delete => format!("DELETE FROM tasks WHERE number = {number}"),
        }
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => Just(Step::Insert),
            3 => (0..TEXTS.len()).prop_map(Step::Text),
            1 => (0..PROJECTS.len()).prop_map(Step::Project),
            1 => Just(Step::Status),
            2 => Just(Step::Delete),
        ]
    }

    /// A file with two projects.
    fn file() -> (tempfile::TempDir, SqliteConnection) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tasks.db");
        let url = format!("sqlite://{}", path.display());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(migrate::run(&url, migrate::Command::Up)).unwrap();
        let mut connection = crate::store::sqlite::connect(path.to_str().unwrap(), true).unwrap();
        let projects = "INSERT INTO projects (id, name, created_by, created_at, updated_at) VALUES \
                        (x'01', 'one', x'00', 0, 0), (x'02', 'two', x'00', 0, 0)";
        connection.batch_execute(projects).unwrap();
        (directory, connection)
    }

    fn count(connection: &mut SqliteConnection, text: &'static str) -> i32 {
        let rows: Vec<(i32,)> = Statement::<(Integer,)>::new(text, binds![]).load(connection).unwrap();
        rows[0].0
    }

    const CHECK: &str = "INSERT INTO tasks_text (tasks_text, rank) VALUES ('integrity-check', 1)";

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
        #[test]
        fn the_index_holds_what_the_tasks_say_after_each_commit_whatever_was_written_in_it(
            commits in proptest::collection::vec(proptest::collection::vec((1..6_i64, step()), 1..12), 1..8),
        ) {
            let (_directory, mut connection) = file();
            for writes in commits {
                connection.immediate_transaction(|connection| {
                    for (number, step) in writes {
                        connection.batch_execute(&sql(number, step))?;
                    }
                    index(connection)
                }).unwrap();
                // Compares each text with what is indexed of it.
                prop_assert!(connection.batch_execute(CHECK).is_ok());
                prop_assert_eq!(count(&mut connection, "SELECT count(*) FROM tasks_text_pending"), 0);
            }
        }
    }

    #[test]
    fn one_commit_is_one_segment_of_the_index() {
        let (_directory, mut connection) = file();
        let segments =
            |connection: &mut SqliteConnection| count(connection, "SELECT count(DISTINCT segid) FROM tasks_text_idx");
        let steps = [[Step::Insert; 3], [Step::Text(1), Step::Delete, Step::Text(2)]];
        for (commit, steps) in (1..).zip(steps) {
            let whole = connection.immediate_transaction(|connection| {
                for (number, step) in (1..).zip(steps) {
                    connection.batch_execute("SAVEPOINT a_write")?;
                    connection.batch_execute(&sql(number, step))?;
                    connection.batch_execute("RELEASE a_write")?;
                }
                index(connection)
            });
            whole.unwrap();
            assert_eq!(segments(&mut connection), commit);
        }
    }

    #[test]
    fn what_others_have_written_is_indexed_at_the_start_and_tasks_that_go_with_their_project_are_taken_out() {
        let (_directory, mut connection) = file();
        connection.batch_execute(&[sql(1, Step::Insert), sql(2, Step::Insert)].join(";")).unwrap();
        let found = "SELECT count(*) FROM tasks_text WHERE tasks_text MATCH 'new'";
        assert_eq!(count(&mut connection, found), 0, "nobody has indexed it");
        catch_up(&mut connection).unwrap();
        assert_eq!(count(&mut connection, found), 2);
        connection
            .batch_execute(&format!("{}; DELETE FROM projects WHERE id = x'01'", sql(2, Step::Project(1))))
            .unwrap();
        catch_up(&mut connection).unwrap();
        assert_eq!(count(&mut connection, found), 1);
        connection.batch_execute(CHECK).unwrap();
    }

    #[test]
    fn an_index_that_lacks_what_is_to_be_taken_out_is_made_anew_and_fails_no_write() {
        let (_directory, mut connection) = file();
        connection.batch_execute(&sql(1, Step::Insert)).unwrap();
        catch_up(&mut connection).unwrap();
        connection.batch_execute(&format!("{}; {REBUILD}", sql(1, Step::Text(2)))).unwrap();
        let found = Statement::<()>::new(INDEX, vec![]).execute(&mut connection).unwrap_err();
        assert!(is_corrupt(&found), "{found}");
        catch_up(&mut connection).unwrap();
        connection.batch_execute(CHECK).unwrap();
        assert_eq!(count(&mut connection, "SELECT count(*) FROM tasks_text_pending"), 0);
    }

    #[test]
    fn what_mends_an_index_by_hand_leaves_nothing_behind() {
        let (_directory, mut connection) = file();
        connection
            .batch_execute(&(1..60).map(|number| sql(number, Step::Insert)).collect::<Vec<_>>().join(";"))
            .unwrap();
        catch_up(&mut connection).unwrap();
        // Without its second half, "new" would stay where it was.
        let by_hand = format!("BEGIN; {REBUILD}; {DONE}; COMMIT");
        connection.batch_execute(&format!("{}; {by_hand}", sql(7, Step::Text(1)))).unwrap();
        connection.batch_execute(&sql(7, Step::Text(2))).unwrap();
        catch_up(&mut connection).unwrap();
        connection.batch_execute(CHECK).unwrap();
    }

    #[tokio::test]
    async fn the_migration_back_indexes_what_is_pending_and_its_triggers_what_comes() {
        let (directory, mut connection) = tokio::task::spawn_blocking(file).await.unwrap();
        let url = format!("sqlite://{}", directory.path().join("tasks.db").display());
        connection.batch_execute(&[sql(1, Step::Insert), sql(2, Step::Insert)].join(";")).unwrap();
        catch_up(&mut connection).unwrap();
        connection
            .batch_execute(&[sql(1, Step::Text(1)), sql(2, Step::Delete), sql(3, Step::Insert)].join(";"))
            .unwrap();
        let report = migrate::run(&url, migrate::Command::Down).await.unwrap();
        assert_eq!(report.changed, ["20261128000001"]);
        connection.batch_execute(CHECK).unwrap();
        connection.batch_execute(&[sql(3, Step::Text(0)), sql(4, Step::Insert)].join(";")).unwrap();
        connection.batch_execute(CHECK).unwrap();
        index(&mut connection).unwrap(); // as the service does while migrations are pending
        migrate::run(&url, migrate::Command::Up).await.unwrap();
        connection.batch_execute(&sql(4, Step::Text(2))).unwrap();
        catch_up(&mut connection).unwrap();
        connection.batch_execute(CHECK).unwrap();
    }
}
