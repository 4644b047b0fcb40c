//! Everything that the ratios are measured on: both databases with the same tasks, the service on each, and a bare axum.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use benches::cpu;
use benches::dataset::Size;
use benches::figures::percentile;
use benches::ground::{JWT_SECRET, traces_to};
use benches::load::Load;
use benches::pgbench::Pgbench;
use benches::receiver::Receiver;
use benches::server::Server;
use service::store::migrate;
use tempfile::TempDir;
use testkit::postgres::{Database, Options, Private};

use crate::table::Cost;

/// As it comes, but for three: the tests' cluster does not wait for the disk, and loads modules that cost a little; and 128 MB
/// of buffers would not hold the tasks. No autovacuum: it would clean up after one side while the other is measured.
const SETTINGS: &[&str] = &[
    "fsync = on",
    "full_page_writes = on",
    "synchronous_commit = on",
    "shared_preload_libraries = ''",
    "shared_buffers = '256MB'",
    "autovacuum = off",
];

/// A limit that is checked for each request and that no load reaches.
const RATE_LIMIT_PER_SECOND: &str = "1000000";
/// pgbench's connections: as the bound has it.
const CLIENTS: usize = 8;

/// What PostgreSQL takes to count the processes of connections that have ended.
const LEAVE: Duration = Duration::from_millis(300);

/// All of it. The servers end before the databases do.
pub(crate) struct Stage {
    /// The service on PostgreSQL, with everything on.
    pub(crate) service: Server,
    /// The service on SQLite, with everything on.
    pub(crate) sqlite: Server,
    /// A bare axum.
    pub(crate) hello: Server,
    /// pgbench on the same database.
    pub(crate) pgbench: Pgbench,
    /// The database of `service`.
    pub(crate) database: Database,
    /// Its server.
    pub(crate) cluster: Private,
    postgres: u32,
    _files: TempDir,
    _receiver: Receiver,
}

impl Stage {
    /// Starts everything and fills both databases.
    pub(crate) async fn set(program: Option<PathBuf>, size: Size, threads: usize) -> anyhow::Result<Self> {
        let program = program.unwrap_or_else(|| testkit::process::binary("task-api"));
        let settings = SETTINGS.iter().map(|&line| line.to_owned()).collect();
        let cluster = Private::start(Options { settings, tls: None });
        let cluster = cluster.context("PostgreSQL is not installed: scripts/install-test-tools")?;
        let database = cluster.create_empty_database();
        migrate::run(&database.url, migrate::Command::Up).await?;
        size.fill(&database);
        let pid = std::fs::read_to_string(cluster.directory().join("data/postmaster.pid"))?;
        let postgres = pid.lines().next().context("a process id")?.parse()?;

        let receiver = Receiver::start(Duration::ZERO)?;
        let environment = |url: &str| {
            let values = [
                ("DATABASE_URL", url),
                ("JWT_SECRET", JWT_SECRET),
                ("RATE_LIMIT_PER_SECOND", RATE_LIMIT_PER_SECOND),
                ("LOG_FORMAT", "json"),
            ];
            let values = values.map(|(name, value)| (name, value.to_owned()));
            [values.to_vec(), traces_to(&receiver.url())].concat()
        };
        let service = Server::start(&program, &[], &environment(&database.url))?;
        let files = TempDir::new()?;
        let url = format!("sqlite://{}", files.path().join("tasks.db").display());
        let sqlite = Server::start(&program, &[], &environment(&url))?;
        size.copy(&database, sqlite.api)?;
        let hello = Server::start(&std::env::current_exe()?, &["serve-hello"], &[])?;
        let pgbench = Pgbench {
            program: cluster.program("pgbench"),
            address: cluster.address(),
            database: database.name.clone(),
            clients: CLIENTS,
            threads,
        };
        let (_files, _receiver) = (files, receiver);
        Ok(Self { service, sqlite, hello, pgbench, database, cluster, postgres, _files, _receiver })
    }

    /// What all that was started here has used so far.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let servers =
            [&self.service, &self.sqlite, &self.hello].into_iter().map(Server::cpu).sum::<Result<Duration, _>>()?;
        Ok(servers + cpu::family(self.postgres)? + cpu::own()?)
    }

    /// Lets PostgreSQL write out what is dirty, so that the next round begins as the one before did.
    pub(crate) fn checkpoint(&self) {
        self.database.psql("CHECKPOINT");
    }

    /// What a load costs a server, and PostgreSQL meanwhile. `settle`: lines and spans that still wait are sent within this,
    /// and belong to the round that made them.
    pub(crate) async fn load(
        &self,
        server: &Server,
        load: &Load,
        duration: Duration,
        settle: Duration,
    ) -> anyhow::Result<Cost> {
        let (process, database) = (server.cpu()?, cpu::family(self.postgres)?);
        let mut outcome = load.run(duration).await?;
        tokio::time::sleep(settle).await;
        let each = |used: Duration| used.as_secs_f64() * 1e6 / outcome.answered as f64;
        let (process, database) = (each(server.cpu()? - process), each(cpu::family(self.postgres)? - database));
        Ok(Cost {
            per_second: outcome.per_second(),
            process_micros: process,
            database_micros: database,
            p50_millis: f64::from(percentile(&mut outcome.micros, 0.5)) / 1e3,
            p99_millis: f64::from(percentile(&mut outcome.micros, 0.99)) / 1e3,
            resident_mib: server.resident_bytes()? as f64 / 1024.0 / 1024.0,
        })
    }

    /// What a script costs pgbench and PostgreSQL.
    pub(crate) async fn reference(
        &self,
        script: &str,
        variables: &[(&str, &str)],
        duration: Duration,
    ) -> anyhow::Result<Cost> {
        let before = cpu::family(self.postgres)?;
        let outcome = self.pgbench.run(script, variables, duration)?;
        tokio::time::sleep(LEAVE).await;
        let each = |used: Duration| used.as_secs_f64() * 1e6 / outcome.transactions as f64;
        Ok(Cost {
            per_second: outcome.per_second,
            process_micros: each(outcome.client_cpu),
            database_micros: each(cpu::family(self.postgres)? - before),
            p50_millis: CLIENTS as f64 * 1e3 / outcome.per_second,
            p99_millis: 0.0,
            resident_mib: 0.0,
        })
    }
}
