//! The embedded migrations: `task-api migrate [up|down|status]`, and at start where `AUTO_MIGRATE` says so.
//!
//! Safe when eight start at once: on PostgreSQL all wait for one advisory lock, on SQLite for the write lock.

use anyhow::Context as _;
use diesel::SqliteConnection;
use diesel::connection::SimpleConnection;
use diesel::migration::{Migration, MigrationSource};
use diesel_async::{AsyncMigrationHarness, SimpleAsyncConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::{Db, Operation, StoreError, postgres, sqlite, statement::Statement};

const POSTGRES: EmbeddedMigrations = embed_migrations!("../migrations/postgres");
const SQLITE: EmbeddedMigrations = embed_migrations!("../migrations/sqlite");

/// Names the lock that migrators of this database take: "taskapi" in ASCII.
const LOCK: i64 = 0x74_61_73_6b_61_70_69;

/// What to do with the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Command {
    /// Apply what is pending.
    Up,
    /// Take the newest applied migration back.
    Down,
    /// Say what is applied and what is pending.
    Status,
}

/// What a [`Command`] did or found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Versions that this call applied or took back.
    pub changed: Vec<String>,
    /// Versions in force after it.
    pub applied: Vec<String>,
    /// Versions that the binary has and the database lacks.
    pub pending: Vec<String>,
}

/// Runs `command` on the database at `url`.
pub async fn run(url: &str, command: Command) -> anyhow::Result<Report> {
    if let Some(path) = sqlite::path(url) {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot create the folder {}", folder.display()))?;
        }
        let file = path.to_str().context("the path of the SQLite file is not UTF-8")?.to_owned();
        return tokio::task::spawn_blocking(move || {
            let mut connection =
                sqlite::connect(&file, true).with_context(|| format!("cannot open the SQLite file {file}"))?;
            connection.immediate_transaction(|connection: &mut SqliteConnection| apply(connection, || SQLITE, command))
        })
        .await?;
    }
    let mut connection = postgres::connect(&postgres::target(url)?).await.context("cannot connect to the database")?;
    // Waiting for another migrator may take as long as its work does; a table's lock may not stop the world that long.
    let lock = format!(
        "SET statement_timeout = 0; SET lock_timeout = 0; SELECT pg_advisory_lock({LOCK}); SET lock_timeout = '2s'"
    );
    connection.batch_execute(&lock).await.context("cannot take the migration lock")?;
    // The lock ends with the connection.
    tokio::task::spawn_blocking(move || apply(&mut AsyncMigrationHarness::new(connection), || POSTGRES, command))
        .await?
}

fn apply<DB: diesel::backend::Backend, S: MigrationSource<DB>>(
    harness: &mut impl MigrationHarness<DB>,
    source: impl Fn() -> S,
    command: Command,
) -> anyhow::Result<Report> {
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| anyhow::anyhow!("a migration failed: {error}");
    let changed = match command {
        Command::Up => {
            harness.run_pending_migrations(source()).map_err(failed)?.iter().map(ToString::to_string).collect()
        }
        Command::Down => match harness.applied_migrations().map_err(failed)?.is_empty() {
            true => Vec::new(),
            false => vec![harness.revert_last_migration(source()).map_err(failed)?.to_string()],
        },
        Command::Status => Vec::new(),
    };
    let mut applied: Vec<String> =
        harness.applied_migrations().map_err(failed)?.iter().map(ToString::to_string).collect();
    applied.reverse();
    let pending = harness.pending_migrations(source()).map_err(failed)?;
    let pending = pending.iter().map(|migration| migration.name().version().to_string()).collect();
    Ok(Report { changed, applied, pending })
}

/// The newest version that the binary embeds for this backend.
fn newest(sqlite: bool) -> Option<String> {
    fn last<DB: diesel::backend::Backend>(source: EmbeddedMigrations) -> Option<String> {
        let migrations: Vec<Box<dyn Migration<DB>>> = source.migrations().ok()?;
        migrations.iter().map(|migration| migration.name().version().to_string()).max()
    }
    if sqlite { last::<diesel::sqlite::Sqlite>(SQLITE) } else { last::<diesel::pg::Pg>(POSTGRES) }
}

impl Db {
    /// Whether the database answers and has every migration that this binary needs.
    pub async fn is_current(&self) -> Result<bool, StoreError> {
        let text = "SELECT version FROM __diesel_schema_migrations ORDER BY version DESC LIMIT 1";
        let statement = Statement::<(diesel::sql_types::Text,)>::new(text, Vec::new());
        let found: Vec<(String,)> = match self.read(Operation::SchemaCheck, statement).await {
            Ok(rows) => rows,
            // The table is missing: no migration ever ran.
            Err(StoreError::Internal(_)) => return Ok(false),
            Err(error) => return Err(error),
        };
        Ok(found.first().map(|(version,)| version.as_str()) >= newest(self.is_sqlite()).as_deref())
    }

    /// Folds SQLite's write-ahead log back into the file, so that it does not grow without bound. Nothing on PostgreSQL.
    pub async fn checkpoint(&self) -> Result<(), StoreError> {
        if self.is_sqlite() {
            let fold =
                |connection: &mut diesel::SqliteConnection| connection.batch_execute("PRAGMA wal_checkpoint(TRUNCATE)");
            self.sqlite_maintain(Operation::Maintenance, fold).await?;
        }
        Ok(())
    }
}
