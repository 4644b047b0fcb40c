//! Two instances of the real service on one PostgreSQL, a load balancer in front of them and a canary in front of that, scraped
//! each second by a real Prometheus that has our rules.

use ops::tree::Tree;
use serde_json::Value;
use tempfile::TempDir;
use testkit::moto::Moto;
use testkit::postgres::{Cluster, Database};
use testkit::process::{Builder, Process};
use testkit::prometheus::Prometheus;

use super::outside::Outside;

/// The secret by which a drive may claim to be the canary or a load test.
pub(crate) const SYNTHETIC_SECRET: &str = "a-secret-of-the-tests-that-is-long-enough";

/// Long: on a busy machine, hashing a password takes seconds.
const REQUEST_TIMEOUT_MS: &str = "20000";

/// Where the rules are, if there are any yet.
const RULES: &str = "alerts/prometheus";

/// The last number of the load balancer's first address.
const BALANCER: u8 = 70;
/// A run of the canary fits into it on a busy machine.
const CANARY_INTERVAL: &str = "4s";

/// All of it, running.
pub(crate) struct Stage {
    pub(crate) prometheus: Prometheus,
    pub(crate) instances: Vec<Instance>,
    /// What is in front of them. The canary does not run before a test starts it: two of its requests count like anybody's.
    pub(crate) outside: Outside,
    /// Whether Prometheus has rules, and with them the series that they record.
    pub(crate) has_rules: bool,
    database: Database,
}

/// One process.
pub(crate) struct Instance {
    /// The API's address, `http://…`.
    pub(crate) api: String,
    /// As the label `instance` has it.
    pub(crate) name: String,
    _process: Process,
}

impl Stage {
    /// Starts everything; `None` where a component is not installed, which has been said then.
    pub(crate) async fn start() -> Option<Self> {
        let database = Cluster::get()?.create_empty_database();
        let moto = Moto::get()?;
        let mut instances = Vec::new();
        for _ in 0..2 {
            instances.push(Instance::start(&database, moto).await);
        }
        let directory = TempDir::new().expect("a temporary directory");
        let files = rules(&directory);
        let has_rules = !files.is_empty();
        let targets: Vec<&str> = instances.iter().map(|instance| instance.name.as_str()).collect();
        let services: Vec<String> = instances.iter().map(|instance| instance.api.clone()).collect();
        let outside = Outside::start(&services, BALANCER, CANARY_INTERVAL).await?;
        let config = serde_json::json!({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": files,
            "scrape_configs": [
                {"job_name": "task-api", "static_configs": [{"targets": targets}]},
                {"job_name": "canary", "static_configs": [{"targets": [outside.metrics.to_string()]}]},
            ],
        });
        // JSON is YAML.
        let prometheus = Prometheus::start_in(directory, &config.to_string())?;
        Some(Self { prometheus, instances, outside, has_rules, database })
    }
}

impl Stage {
    /// Takes a table away while this goes on: what reads it fails with a 500.
    pub(crate) async fn without_activity(&self, what: impl Future<Output = ()>) {
        self.database.psql("ALTER TABLE task_activity RENAME TO taken_away");
        what.await;
        self.database.psql("ALTER TABLE taken_away RENAME TO task_activity");
    }
}

impl Instance {
    /// The first one migrates the database.
    async fn start(database: &Database, moto: &Moto) -> Self {
        let process = Builder::task_api()
            .env("DATABASE_URL", &database.url)
            .env("AUTO_MIGRATE", "true")
            .env("JWT_SECRET", "a-key-of-the-tests-that-is-long-enough-for-it")
            .env("SYNTHETIC_SECRET", SYNTHETIC_SECRET)
            .env("REQUEST_TIMEOUT_MS", REQUEST_TIMEOUT_MS)
            .env("CLOUDWATCH_LOG_GROUP", "task-api")
            .env("AWS_ENDPOINT_URL", format!("http://{}", moto.address()))
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .serve()
            .await;
        let (api, admin) = (process.address("api").await, process.address("admin").await);
        let name = admin.trim_start_matches("http://").to_owned();
        Self { api, name, _process: process }
    }
}

/// Copies the tree's rules to where Prometheus runs, evaluated each second; their names.
fn rules(directory: &TempDir) -> Vec<String> {
    let tree = Tree::new(testkit::root());
    let mut copied = Vec::new();
    for name in tree.names(RULES, ".yml") {
        let text = tree.read(&format!("{RULES}/{name}")).expect("a file of rules");
        let mut rules: Value = serde_norway::from_str(&text).expect("YAML");
        for group in rules["groups"].as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
            group.remove("interval");
        }
        std::fs::write(directory.path().join(&name), rules.to_string()).expect("written");
        copied.push(name);
    }
    copied
}
