//! SQLite: the embedded database. One file, in WAL mode, with one writer.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use diesel::connection::SimpleConnection;
use diesel::result::Error::DatabaseError;
use diesel::{Connection, ConnectionError, SqliteConnection};
use diesel_async::pooled_connection::bb8::Pool;
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod};
use diesel_async::sync_connection_wrapper::SyncConnectionWrapper;
use futures_util::FutureExt;

use super::{SQLITE_WAIT_MAX, SqlitePool};

/// The file that a `sqlite://` URL names: `sqlite://data/tasks.db` is relative, `sqlite:///var/tasks.db` absolute.
pub(super) fn path(url: &str) -> Option<PathBuf> {
    url.strip_prefix("sqlite://").map(PathBuf::from)
}

/// Opens one connection as both the pools and the migrations use it.
pub(super) fn connect(path: &str, writer: bool) -> Result<SqliteConnection, ConnectionError> {
    let mut connection = SqliteConnection::establish(path)?;
    // `busy_timeout` comes first: switching to WAL takes a lock that several openers contend for. `synchronous=FULL` makes an
    // acknowledged write survive a power cut, as it does on PostgreSQL.
    let pragmas = "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                   PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16000;";
    let role = if writer { "PRAGMA journal_size_limit = 67108864;" } else { "PRAGMA query_only = ON;" };
    let until = Instant::now() + SQLITE_WAIT_MAX;
    loop {
        match connection.batch_execute(pragmas).and_then(|()| connection.batch_execute(role)) {
            Ok(()) => return Ok(connection),
            // For some of the locks around the switch SQLite does not wait, whatever `busy_timeout` says: of several processes
            // that open a new file at once one could fail.
            Err(DatabaseError(_, information))
                if information.message() == "database is locked" && Instant::now() < until =>
            {
                #[expect(clippy::disallowed_methods, reason = "connections are opened on blocking threads")]
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => return Err(ConnectionError::CouldntSetupConfiguration(error)),
        }
    }
}

/// The pools: `readers` connections that cannot write, and the writer.
pub(super) async fn open(path: &Path, readers: u32) -> anyhow::Result<(SqlitePool, SqlitePool)> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create the folder {}", folder.display()))?;
    }
    let url = path.to_str().context("the path of the SQLite file is not UTF-8")?.to_owned();
    // The writer opens first: it creates the file.
    let writer =
        pool(&url, 1, true).await.with_context(|| format!("cannot open the SQLite file {}", path.display()))?;
    let readers =
        pool(&url, readers, false).await.with_context(|| format!("cannot read the SQLite file {}", path.display()))?;
    Ok((readers, writer))
}

async fn pool(url: &str, size: u32, writer: bool) -> anyhow::Result<SqlitePool> {
    let mut config = ManagerConfig::default();
    config.recycling_method = RecyclingMethod::Fast;
    config.custom_setup = Box::new(move |url: &str| {
        let url = url.to_owned();
        async move {
            tokio::task::spawn_blocking(move || connect(&url, writer))
                .await
                .map_err(|failed| ConnectionError::BadConnection(failed.to_string()))?
                .map(SyncConnectionWrapper::new)
        }
        .boxed()
    });
    let manager = AsyncDieselConnectionManager::new_with_config(url, config);
    Ok(Pool::builder()
        .max_size(size)
        .min_idle(Some(1))
        .max_lifetime(None)
        .idle_timeout(Some(Duration::from_secs(600)))
        .connection_timeout(SQLITE_WAIT_MAX)
        .build(manager)
        .await?)
}

/// Size of the write-ahead log beside `file`, in bytes.
pub(super) fn wal_bytes(file: &Path) -> u64 {
    let mut name = file.as_os_str().to_owned();
    name.push("-wal");
    std::fs::metadata(name).map(|meta| meta.len()).unwrap_or(0)
}
