//! A real PostgreSQL: one cluster for the test process, a migrated database of its own for each test.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};

use tokio::sync::OnceCell;

pub use crate::supervisor::Options;
use crate::supervisor::Supervisor;

const TEMPLATE: &str = "template_task_api";
const START_ATTEMPTS_MAX: u32 = 5; // another process may take the free port before the server does

/// No cluster outlives its test, so none waits for a disk. The modules are those that production loads.
const SETTINGS: &[&str] = &[
    "listen_addresses = '127.0.0.1'",
    "max_connections = 400",
    "shared_preload_libraries = 'pg_stat_statements,auto_explain'",
    "pg_stat_statements.max = 50000", // each test's database counts for itself; none may push out another's
    "fsync = off",
    "full_page_writes = off",
];

/// A crash of the server may lose the last commits: fast, and not for a test that stops its server.
const SHARED_SETTINGS: &[&str] = &["synchronous_commit = off"];

/// A running server.
pub struct Cluster {
    supervisor: Mutex<Supervisor>,
    template: OnceCell<()>,
    databases: AtomicU32,
    psql: Psql,
}

impl Cluster {
    /// The server that all tests of this process share, started by the first that asks. `None` where PostgreSQL is not
    /// installed: the caller skips. Under `REQUIRE_REAL=1` a missing PostgreSQL fails instead.
    pub fn get() -> Option<&'static Self> {
        static SHARED: LazyLock<Option<Cluster>> = LazyLock::new(|| {
            let settings = SHARED_SETTINGS.iter().map(|&line| line.to_owned()).collect();
            Cluster::start(Options { settings, tls: None })
        });
        SHARED.as_ref()
    }

    fn start(options: Options) -> Option<Self> {
        let Some(bin) = binaries() else {
            crate::skip("PostgreSQL");
            return None;
        };
        let mut settings: Vec<String> = SETTINGS.iter().map(|&line| line.to_owned()).collect();
        settings.extend(options.settings);
        let mut supervisor = Supervisor::create(&bin, &Options { settings, tls: options.tls });
        let port = (0..START_ATTEMPTS_MAX)
            .map(|_| crate::free_address().port())
            .find(|port| supervisor.ask(&format!("start {port}")))
            .expect("PostgreSQL starts, its log is above");
        Some(Self {
            supervisor: Mutex::new(supervisor),
            template: OnceCell::new(),
            databases: AtomicU32::new(0),
            psql: Psql { bin, port },
        })
    }

    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.psql.port).into()
    }

    /// The server's directory: `log` is in it, and `data`.
    pub fn directory(&self) -> PathBuf {
        self.supervisor.lock().unwrap_or_else(PoisonError::into_inner).directory().to_owned()
    }

    /// A program of this PostgreSQL, such as pgbench, whether or not it is on the path.
    pub fn program(&self, name: &str) -> PathBuf {
        self.psql.bin.join(name)
    }

    /// A database of the test's own, copied from a template that `migrate` makes once, given its URL.
    pub async fn create_database(&self, migrate: impl AsyncFnOnce(String)) -> Database {
        self.template
            .get_or_init(|| async {
                self.psql("postgres", &format!("CREATE DATABASE {TEMPLATE}"));
                migrate(self.psql.url(TEMPLATE)).await;
            })
            .await;
        self.copy_of(TEMPLATE)
    }

    /// A database without any table, for the tests of the migrations themselves.
    pub fn create_empty_database(&self) -> Database {
        self.copy_of("template1")
    }

    fn copy_of(&self, template: &str) -> Database {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.psql("postgres", &format!("CREATE DATABASE {name} TEMPLATE {template}"));
        Database { url: self.psql.url(&name), name, psql: self.psql.clone() }
    }

    /// Runs SQL in database `database` through psql; rows a line each, columns between `|`. Panics with the error's text.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        self.psql.run(database, sql).unwrap_or_else(|error| panic!("{sql}\n{error}"))
    }

    fn ask(&self, command: &str) {
        let mut supervisor = self.supervisor.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(supervisor.ask(command), "PostgreSQL: {command} failed, the log is above");
    }
}

/// A cluster of one test's own, which the test may stop and start again. Gone when dropped.
pub struct Private(Cluster);

impl Private {
    /// Starts a cluster. `Options::settings` come after the harness's own: `fsync = on` has its way.
    pub fn start(options: Options) -> Option<Self> {
        Cluster::start(options).map(Self)
    }

    /// Stops the way an administrator does: connections are ended, open transactions rolled back.
    pub fn stop_fast(&self) {
        self.0.ask("stop fast");
    }

    /// Stops the way a crash does: the next start recovers from the log, with all that was committed.
    pub fn stop_immediate(&self) {
        self.0.ask("stop immediate");
    }

    /// Starts again on the same port.
    pub fn start_again(&self) {
        self.0.ask(&format!("start {}", self.0.psql.port));
    }
}

impl std::ops::Deref for Private {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.0
    }
}

/// One test's database, dropped with this value even while connections to it are open.
pub struct Database {
    /// `postgres://…`, as `DATABASE_URL` takes it.
    pub url: String,
    /// Its name in the cluster.
    pub name: String,
    psql: Psql,
}

impl Database {
    /// The URL by which this database is reached through `address`: that of a proxy.
    pub fn url_through(&self, address: SocketAddr) -> String {
        url(address.port(), &self.name)
    }

    /// Runs SQL in this database, as [`Cluster::psql`] does.
    pub fn psql(&self, sql: &str) -> String {
        self.psql.run(&self.name, sql).unwrap_or_else(|error| panic!("{sql}\n{error}"))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Nobody waits: a drop takes a checkpoint, and what is left at the end goes with the cluster.
        let (psql, name) = (self.psql.clone(), std::mem::take(&mut self.name));
        std::thread::spawn(move || psql.run("postgres", &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")));
    }
}

#[derive(Clone)]
struct Psql {
    bin: PathBuf,
    port: u16,
}

impl Psql {
    fn url(&self, database: &str) -> String {
        url(self.port, database)
    }

    fn run(&self, database: &str, sql: &str) -> Result<String, String> {
        let output = Command::new(self.bin.join("psql"))
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", &self.url(database), "-c", sql])
            .output()
            .map_err(|error| error.to_string())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }
}

fn url(port: u16, database: &str) -> String {
    format!("postgres://postgres@127.0.0.1:{port}/{database}")
}

/// The folder of the server's binaries: Debian's newest version, else what `pg_config` names.
fn binaries() -> Option<PathBuf> {
    let version = |path: &PathBuf| path.file_name()?.to_str()?.parse::<u32>().ok();
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    versions.sort_by_key(version);
    let configured = Command::new("pg_config").arg("--bindir").output().ok();
    let configured = configured.map(|output| String::from_utf8_lossy(&output.stdout).trim_end().into());
    let debian = versions.into_iter().rev().map(|path| path.join("bin"));
    debian.chain(configured).find(|bin| bin.join("initdb").is_file())
}
