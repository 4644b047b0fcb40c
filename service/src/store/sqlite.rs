//! SQLite: the embedded database. One file, in WAL mode, with one writer.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use diesel::connection::SimpleConnection;
use diesel::result::Error::DatabaseError;
use diesel::{Connection, ConnectionError, SqliteConnection};

use super::SQLITE_WAIT_MAX;
use super::readers::Readers;
use super::writer::Writer;

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
                   PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY;";
    let role = if writer {
        // Every 16 MiB of the log is copied into the file, not every 4: pages that change all the time are copied less often.
        "PRAGMA journal_size_limit = 67108864; PRAGMA wal_autocheckpoint = 4000; PRAGMA cache_size = -16000;"
    } else {
        // Small, for there may be many of them, and each commit of the writer empties it.
        "PRAGMA query_only = ON; PRAGMA cache_size = -4000;"
    };
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

/// The file's one writer, and up to `readers` connections beside it.
pub(super) async fn open(path: &Path, readers: u32) -> anyhow::Result<(Readers, Writer)> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create the folder {}", folder.display()))?;
    }
    let file = path.to_str().context("the path of the SQLite file is not UTF-8")?.to_owned();
    // The writer opens first: it creates the file.
    let opened = tokio::task::spawn_blocking(move || {
        let writer = Writer::start(&file)?;
        let readers = Readers::open(&file, readers).with_context(|| format!("cannot read the SQLite file {file}"))?;
        Ok((readers, writer))
    });
    opened.await?
}

/// Size of the write-ahead log beside `file`, in bytes.
pub(super) fn wal_bytes(file: &Path) -> u64 {
    let mut name = file.as_os_str().to_owned();
    name.push("-wal");
    std::fs::metadata(name).map(|meta| meta.len()).unwrap_or(0)
}
