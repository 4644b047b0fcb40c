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

const REST: [&str; 3] = [
    "DELETE FROM projects WHERE deleted_at <= ? AND NOT EXISTS (SELECT 1 FROM tasks t WHERE t.project_id = projects.id)",
    "DELETE FROM sessions WHERE expires_at <= ?",
    "DELETE FROM idempotency_keys WHERE created_at <= ?",
];

impl Db {
    /// Removes what is due at `now`.
    pub async fn purge(&self, now: Timestamp) -> Result<Purged, StoreError> {
        let before = |age| now.checked_sub(age).unwrap_or(Timestamp::UNIX_EPOCH);
        let (trash, keys) = (before(TRASH_KEPT), before(idempotency::KEPT));
        let mut purged = Purged::default();
        for _ in 0..CHUNKS_MAX {
            let tasks = self.purge_tasks(trash).await?;
            purged.tasks += tasks;
            if tasks < CHUNK as u64 {
                break;
            }
        }
        self.metrics().tasks_purged(purged.tasks);
        for (text, age) in REST.into_iter().zip([trash, now, keys]) {
            let statement = Statement::<(Integer,)>::new(format!("{text} RETURNING 1"), binds![age]);
            let rows: Vec<(i32,)> = self.write(Operation::Purge, statement).await?;
            purged.others += rows.len() as u64;
        }
        Ok(purged)
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
            let text = format!(
                "WITH due AS MATERIALIZED ({TASKS}), logs AS (DELETE FROM task_activity a USING due WHERE a.task_id = due.id), \
                 gone AS (DELETE FROM tasks t USING due WHERE t.id = due.id RETURNING t.id) SELECT count(*) FROM gone"
            );
            self.postgres_write(Operation::Purge, Statement::<(BigInt,)>::new(text, binds![trash, trash, trash, CHUNK]))
                .await?
        };
        Ok(rows.first().map_or(0, |(count,)| u64::try_from(*count).unwrap_or(0)))
    }
}
