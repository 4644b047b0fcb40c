//! How SQLite runs the lists: off an index, whatever is asked. PostgreSQL's real plans are in `tests/suite/plans.rs`.

use diesel::SqliteConnection;

use super::*;
use crate::store::{migrate, sqlite};

fn filters() -> Vec<(&'static str, Filter, &'static [Sort])> {
    let (id, time) = (Some(Uuid::nil()), Some(Timestamp::UNIX_EPOCH));
    vec![
        ("none", Filter::default(), &Sort::ALL),
        ("status", Filter { status: Some(Status::Todo), ..Filter::default() }, &Sort::ALL),
        (
            "priority",
            Filter { priority: Some(Priority::High), ..Filter::default() },
            &[Sort::CreatedAt, Sort::Priority],
        ),
        ("assignee_id", Filter { assignee_id: id, ..Filter::default() }, &[Sort::CreatedAt, Sort::DueAt]),
        ("parent_id", Filter { parent_id: id, ..Filter::default() }, &[Sort::CreatedAt]),
        ("due_before", Filter { due_before: time, ..Filter::default() }, &[Sort::DueAt]),
        ("due_after", Filter { due_after: time, ..Filter::default() }, &[Sort::DueAt]),
        ("label", Filter { label: Some("bug".into()), ..Filter::default() }, &[Sort::CreatedAt]),
        ("q", Filter { words: Some(vec!["word".into()]), ..Filter::default() }, &[Sort::CreatedAt]),
    ]
}

fn plan(connection: &mut SqliteConnection, filter: &Filter, order: Order, after: Option<Key>) -> Vec<String> {
    let statement = statement(true, Uuid::nil(), filter, order, after, 50).unwrap();
    let rows: Vec<(i32, i32, i32, String)> = diesel::RunQueryDsl::load(statement.explained(), connection).unwrap();
    rows.into_iter().map(|(_, _, _, text)| text).collect()
}

#[tokio::test]
async fn sqlite_serves_every_list_from_an_index_in_its_order() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tasks.db");
    migrate::run(&format!("sqlite://{}", path.display()), migrate::Command::Up).await.unwrap();
    let mut connection = sqlite::connect(path.to_str().unwrap(), true).unwrap();
    let key = Key { first: 1, second: 1, id: Uuid::nil() };
    for (name, mut filter, sorts) in filters() {
        for sort in sorts.iter().copied() {
            for direction in [Direction::Ascending, Direction::Descending] {
                for (project_id, after) in
                    [(None, None), (Some(Uuid::nil()), None), (None, Some(key)), (Some(Uuid::nil()), Some(key))]
                {
                    filter.project_id = project_id;
                    let lines = plan(&mut connection, &filter, Order { sort, direction }, after);
                    let shown = format!("{name} by {sort:?} {direction:?} from {after:?}: {lines:#?}");
                    let starts = |text: &str| lines.iter().filter(|line| line.starts_with(text)).count();
                    assert_eq!(starts("SEARCH x USING INDEX tasks_by_"), 1, "tasks come off an index: {shown}");
                    assert_eq!(
                        starts("SCAN x") + starts("SCAN t ") + starts("SCAN m"),
                        0,
                        "no table is read whole: {shown}"
                    );
                    let sorts = usize::from(project_id.is_none());
                    assert_eq!(starts("USE TEMP B-TREE"), sorts, "only the merged pages are sorted: {shown}");
                    let seeks = lines.iter().any(|line| line.starts_with("SEARCH x") && line.contains(",id)"));
                    assert_eq!(seeks, after.is_some(), "a deep page begins at its key: {shown}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_search_of_somebody_without_a_project_matches_nothing_and_is_no_mistake() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tasks.db");
    migrate::run(&format!("sqlite://{}", path.display()), migrate::Command::Up).await.unwrap();
    let mut connection = sqlite::connect(path.to_str().unwrap(), true).unwrap();
    let text = format!("SELECT rowid FROM tasks_text WHERE tasks_text MATCH ({MATCHING})");
    let binds = vec![Bind::from("\"word\"".to_owned()), Bind::from(Uuid::nil())];
    let statement = Statement::<(diesel::sql_types::BigInt,)>::new(text, binds);
    let rows: Vec<(i64,)> = diesel::RunQueryDsl::load(statement, &mut connection).unwrap();
    assert_eq!(rows, []);
}
