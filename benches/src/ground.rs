//! What the measured services stand on: one PostgreSQL database with one user and one task, and the key that all of them share.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::{Value, json};
use service::store::migrate;
use testkit::postgres::{Cluster, Database};

use crate::exchange::expect;
use crate::server::Server;

/// The key of the tokens: shared, so that one token is good for every service.
pub const JWT_SECRET: &str = "a key of at least 32 bytes, for benchmarks";

/// A database with a user and a task in it.
pub struct Ground {
    database: Database,
    /// The release build of `task-api`, or the debug build in a debug build.
    pub program: PathBuf,
    /// `/api/v1/tasks/…` of the task.
    pub task_path: String,
    /// An access token of its user. It is good for 15 minutes: [`Ground::log_in`] gives another.
    pub token: String,
}

const EMAIL: &str = "benchmark@example.com";
const PASSWORD: &str = "correct horse battery";

impl Ground {
    /// Starts PostgreSQL, migrates a database, registers the user and makes the task. Builds `task-api` where no `program` is
    /// given.
    ///
    /// # Errors
    ///
    /// If PostgreSQL is not installed or the service does not do as it should.
    pub async fn prepare(program: Option<PathBuf>) -> anyhow::Result<Self> {
        let cluster = Cluster::get().context("PostgreSQL is not installed: scripts/install-test-tools")?;
        let database = cluster.create_empty_database();
        migrate::run(&database.url, migrate::Command::Up).await?;
        let program = program.unwrap_or_else(|| testkit::process::binary("task-api"));
        let mut ground = Self { database, program, task_path: String::new(), token: String::new() };
        let server = Server::start(&ground.program, &[], &ground.environment("off"))?;
        let user = json!({"email": EMAIL, "password": PASSWORD, "name": "Benchmark"});
        let user = expect(201, server.api, "POST", "/api/v1/auth/register", None, &user)?;
        ground.token = text(&user, "access_token")?;
        let task = json!({"title": "A task of the usual length", "description": "Two lines that say what is to be done.",
            "labels": ["a", "b"]});
        let task = expect(201, server.api, "POST", "/api/v1/tasks", Some(&ground.token), &task)?;
        ground.task_path = format!("/api/v1/tasks/{}", text(&task, "id")?);
        Ok(ground)
    }

    /// What every service is told: the database, the key, the log level.
    pub fn environment(&self, level: &str) -> Vec<(&'static str, String)> {
        let database = self.database.url.clone();
        let values = [("DATABASE_URL", database), ("JWT_SECRET", JWT_SECRET.into()), ("RUST_LOG", level.into())];
        values.into_iter().chain([("LOG_FORMAT", "json".into())]).collect()
    }

    /// The whole request of a login, as it goes over a connection that stays open.
    pub fn login_request(&self) -> Vec<u8> {
        let body = json!({"email": EMAIL, "password": PASSWORD}).to_string();
        let head = "POST /api/v1/auth/login HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json";
        format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }

    /// Takes away what only the history of a task is read from: each request for [`Ground::failing_path`] then ends in a 500 of
    /// the database's, and no other request does.
    pub fn break_history(&self) {
        self.database.psql("ALTER TABLE task_activity RENAME TO gone");
    }

    /// The path of a request that fails after [`Ground::break_history`].
    pub fn failing_path(&self) -> String {
        format!("{}/activity", self.task_path)
    }

    /// A fresh access token.
    ///
    /// # Errors
    ///
    /// If the service refuses.
    pub fn log_in(&self, server: &Server) -> anyhow::Result<String> {
        let login = json!({"email": EMAIL, "password": PASSWORD});
        text(&expect(200, server.api, "POST", "/api/v1/auth/login", None, &login)?, "access_token")
    }
}

/// The environment of a service whose telemetry goes to `otlp`, `cloudwatch` and `sentry`, traces at 5 %.
pub fn telemetry_to(otlp: &str, cloudwatch: &str, sentry: &str) -> Vec<(&'static str, String)> {
    [traces_to(otlp), cloudwatch_to(cloudwatch), vec![("SENTRY_DSN", sentry.to_owned())]].concat()
}

/// Traces at 5 % to a collector.
pub fn traces_to(otlp: &str) -> Vec<(&'static str, String)> {
    let values = [("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0.05")];
    let values = values.map(|(name, value)| (name, value.to_owned()));
    values.into_iter().chain([("OTEL_EXPORTER_OTLP_ENDPOINT", otlp.to_owned())]).collect()
}

/// Logs, and metrics in the embedded format, to CloudWatch.
pub fn cloudwatch_to(endpoint: &str) -> Vec<(&'static str, String)> {
    let values = [
        ("CLOUDWATCH_LOG_GROUP", "/benchmark"),
        ("CLOUDWATCH_METRICS_NAMESPACE", "TaskApi"),
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "benchmark"),
        ("AWS_SECRET_ACCESS_KEY", "benchmark"),
    ];
    values.map(|(name, value)| (name, value.to_owned())).to_vec()
}

/// What the figures were measured on, for those who read them later.
pub fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).and_then(|rest| rest.split(':').nth(1));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = std::fs::read_to_string(Path::new("/proc/sys/kernel/osrelease")).unwrap_or_default();
    format!("{cores} virtual cores ({}), Linux {}", model.unwrap_or("unknown").trim(), kernel.trim())
}

fn text(answer: &Value, field: &str) -> anyhow::Result<String> {
    Ok(answer[field].as_str().with_context(|| format!("no {field} in the answer"))?.to_owned())
}
