//! Taking out for good what has been in the trash long enough, and what has expired.

use diesel::sql_types::{BigInt, Integer};
use jiff::{SignedDuration, Timestamp};

use super::statement::{Statement, binds};
use super::{Db, End, Operation, StoreError, idempotency};

/// How long the trash is kept.
pub const TRASH_KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Rows that one statement takes: few enough to hold its locks briefly.
const CHUNK: i64 = 500;

/// Chunks in one run: a backlog is worked off over several runs and does not hold the writer for an hour.
const CHUNKS_MAX: usize = 200;

/// Rows that a purge removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Purged {
    /// Tasks, with their activity.
    pub tasks: u64,
    /// Everything else: projects, sessions, idempotency keys.
    pub others: u64,
}

/// The tasks of a chunk: those in the trash, and the others of deleted projects. Each once, so that a chunk which is not full
/// is the last one.
const TASKS: &str = "SELECT id FROM tasks WHERE deleted_at <= ? UNION ALL \
    SELECT t.id FROM projects p JOIN tasks t ON t.project_id = p.id \
    WHERE p.deleted_at <= ? AND (t.deleted_at IS NULL OR t.deleted_at > ?) LIMIT ?";

/// What else expires, a chunk at a time.
const REST: [&str; 3] = [
    "DELETE FROM projects WHERE id IN (SELECT p.id FROM projects p WHERE p.deleted_at <= ? \
       AND NOT EXISTS (SELECT 1 FROM tasks t WHERE t.project_id = p.id) LIMIT ?) RETURNING 1",
    "DELETE FROM sessions WHERE id IN (SELECT s.id FROM sessions s WHERE s.expires_at <= ? LIMIT ?) RETURNING 1",
    "DELETE FROM idempotency_keys WHERE (user_id, route, key) IN (\
       SELECT k.user_id, k.route, k.key FROM idempotency_keys k WHERE k.created_at <= ? LIMIT ?) RETURNING 1",
];

/// A chunk on PostgreSQL. The rows are locked and looked at again before they go: a task that was restored since the statement
/// began is not due any more. Those that somebody holds are left for the next run.
const POSTGRES_TASKS: &str = "locked AS MATERIALIZED (\
       SELECT t.id FROM tasks t JOIN due ON due.id = t.id \
       WHERE t.deleted_at <= ? OR EXISTS (SELECT 1 FROM projects p WHERE p.id = t.project_id AND p.deleted_at <= ?) \
       FOR UPDATE OF t SKIP LOCKED\
     ), logs AS (\
       DELETE FROM task_activity a USING locked WHERE a.task_id = locked.id\
     ), gone AS (\
       DELETE FROM tasks t USING locked WHERE t.id = locked.id RETURNING t.id\
     ) SELECT count(*) FROM gone";

impl Db {
    /// Removes what is due at `now`.
    pub async fn purge(&self, now: Timestamp) -> Result<Purged, StoreError> {
        let before = |age| now.checked_sub(age).unwrap_or(Timestamp::UNIX_EPOCH);
        let (trash, keys) = (before(TRASH_KEPT), before(idempotency::KEPT));
        let mut purged = Purged::default();
        // What cannot be removed from one table does not keep the others from being purged.
        let mut failed = self.purge_all_tasks(trash, &mut purged).await.err();
        self.metrics().tasks_purged(purged.tasks);
        if purged.tasks > 0
            && let Some(cache) = self.task_cache()
        {
            cache.clear();
        }
        for (text, age) in REST.into_iter().zip([trash, now, keys]) {
            failed = self.purge_rest(text, age, &mut purged).await.err().or(failed);
        }
        failed.map_or(Ok(purged), Err)
    }

    async fn purge_all_tasks(&self, trash: Timestamp, purged: &mut Purged) -> Result<(), StoreError> {
        for _ in 0..CHUNKS_MAX {
            let tasks = self.purge_tasks(trash).await?;
            purged.tasks += tasks;
            if tasks < CHUNK as u64 {
                break;
            }
        }
        Ok(())
    }

    async fn purge_rest(&self, text: &'static str, age: Timestamp, purged: &mut Purged) -> Result<(), StoreError> {
        for _ in 0..CHUNKS_MAX {
            let statement = Statement::<(Integer,)>::new(text, binds![age, CHUNK]);
            let rows: Vec<(i32,)> = self.write(Operation::Purge, statement).await?;
            purged.others += rows.len() as u64;
            if rows.len() < CHUNK as usize {
                break;
            }
        }
        Ok(())
    }

    async fn purge_tasks(&self, trash: Timestamp) -> Result<u64, StoreError> {
        let rows: Vec<(i64,)> = if self.is_sqlite() {
            self.sqlite_write(Operation::Purge, move |connection| {
                use diesel::RunQueryDsl as _;
                let log = format!("DELETE FROM task_activity WHERE task_id IN (SELECT id FROM ({TASKS}))");
                Statement::<()>::new(log, binds![trash, trash, trash, CHUNK]).execute(connection)?;
                let tasks = format!("DELETE FROM tasks WHERE id IN (SELECT id FROM ({TASKS}))");
                let gone = Statement::<()>::new(tasks, binds![trash, trash, trash, CHUNK]).execute(connection)?;
                Ok(End::Commit(vec![(i64::try_from(gone).unwrap_or(i64::MAX),)]))
            })
            .await?
        } else {
            let text = format!("WITH due AS MATERIALIZED ({TASKS}), {POSTGRES_TASKS}");
            let binds = binds![trash, trash, trash, CHUNK, trash, trash];
            self.postgres_write(Operation::Purge, Statement::<(BigInt,)>::new(text, binds)).await?
        };
        Ok(rows.first().map_or(0, |(count,)| u64::try_from(*count).unwrap_or(0)))
    }
}
