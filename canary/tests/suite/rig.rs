//! A service, an nginx in front of it on several addresses of loopback, and the canary.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::certificates::{self, Authority};
use testkit::nginx::Nginx;
use testkit::postgres::{Cluster, Database};
use testkit::process::{Builder, Process};

/// The name that all addresses serve.
pub(crate) const NAME: &str = "tasks.example.com";
pub(crate) const EMAIL: &str = "canary-of-the-tests@example.com";
pub(crate) const PASSWORD: &str = "seven wet canaries sing";
pub(crate) const SECRET: &str = "a-synthetic-secret-of-32-bytes-or-more";

/// A run of the canary ends within its deadline.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// What a `location /` does.
#[derive(Debug, Clone)]
pub(crate) enum Answers {
    /// What the service says.
    Service,
    /// 503, as a target that is gone.
    Broken,
    /// These blocks come before the service.
    Before(String),
}

/// One address: the last number of 127.0.0.x, the certificate's name, what it answers.
#[derive(Debug, Clone)]
pub(crate) struct Front {
    pub(crate) number: u8,
    pub(crate) certificate: &'static str,
    pub(crate) answers: Answers,
    /// What plain HTTP answers.
    pub(crate) plain: &'static str,
}

impl Front {
    pub(crate) fn good(number: u8) -> Self {
        let plain = "return 301 https://$host$request_uri;";
        Self { number, certificate: "good", answers: Answers::Service, plain }
    }

    pub(crate) fn with(self, certificate: &'static str) -> Self {
        Self { certificate, ..self }
    }

    pub(crate) fn answering(self, answers: Answers) -> Self {
        Self { answers, ..self }
    }
}

/// All of it.
pub(crate) struct Rig {
    pub(crate) api: Process,
    pub(crate) nginx: Nginx,
    pub(crate) port: u16,
    pub(crate) http_port: u16,
    upstream: SocketAddr,
    pub(crate) files: TempDir,
    pub(crate) database: Option<Database>,
}

impl Rig {
    /// The service on SQLite behind these fronts. `None` where nginx is not installed.
    pub(crate) async fn start(fronts: &[Front]) -> Option<Self> {
        let api = Builder::task_api().env("SYNTHETIC_SECRET", SECRET).serve().await;
        Self::around(api, None, fronts).await
    }

    /// The service on PostgreSQL, where a test looks into the tables.
    pub(crate) async fn on_postgres(fronts: &[Front]) -> Option<Self> {
        let database = Cluster::get()?.create_empty_database();
        let api = Builder::task_api().env("DATABASE_URL", &database.url).env("AUTO_MIGRATE", "true");
        let api = api.env("SYNTHETIC_SECRET", SECRET).env("JWT_SECRET", "k".repeat(32)).serve().await;
        Self::around(api, Some(database), fronts).await
    }

    async fn around(api: Process, database: Option<Database>, fronts: &[Front]) -> Option<Self> {
        let address = api.address("api").await;
        let upstream = address.trim_start_matches("http://").parse().expect("an address");
        register(&address, EMAIL).await;
        let (port, http_port) = (testkit::free_address().port(), testkit::free_address().port());
        let files = TempDir::new().expect("a directory");
        let certificates = TempDir::new().expect("a directory");
        make_certificates(certificates.path(), files.path());
        let blocks = servers(upstream, port, http_port, fronts);
        let first = (Ipv4Addr::new(127, 0, 0, fronts[0].number), port).into();
        let nginx = Nginx::start(certificates, &blocks, first)?;
        Some(Self { api, nginx, port, http_port, upstream, files, database })
    }

    /// Other answers from now on.
    pub(crate) fn change(&self, fronts: &[Front]) {
        self.nginx.reload(&servers(self.upstream, self.port, self.http_port, fronts));
    }

    /// The same with another way to the service: a proxy of the test's.
    pub(crate) fn through(&mut self, upstream: SocketAddr, fronts: &[Front]) {
        self.upstream = upstream;
        self.change(fronts);
    }

    pub(crate) fn upstream(&self) -> SocketAddr {
        self.upstream
    }

    pub(crate) fn target(&self) -> String {
        format!("https://{NAME}:{}", self.port)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// A command of the canary at these addresses, with generous limits: a machine under test is slow.
    pub(crate) fn canary(&self, command: &str, numbers: &[u8]) -> Builder {
        let slo = self.limits("generous.toml", 10.0, 10.0);
        self.canary_with(command, numbers, &slo)
    }

    /// The same with limits of its own.
    pub(crate) fn canary_with(&self, command: &str, numbers: &[u8], slo: &Path) -> Builder {
        let addresses: Vec<String> = numbers.iter().map(|number| format!("127.0.0.{number}")).collect();
        let resolve = format!("{NAME}={}", addresses.join(","));
        let mut builder = Builder::new(env!("CARGO_BIN_EXE_canary"));
        for argument in
            [command, "--target", &self.target(), "--resolve", &resolve, "--slo", &slo.display().to_string()]
        {
            builder = builder.arg(argument);
        }
        for argument in
            ["--ca-file", &self.file("ca.pem").display().to_string(), "--http-port", &self.http_port.to_string()]
        {
            builder = builder.arg(argument);
        }
        builder.env("CANARY_EMAIL", EMAIL).env("CANARY_PASSWORD", PASSWORD).env("SYNTHETIC_SECRET", SECRET)
    }

    /// An slo.toml with these latencies of requests and of a step, in seconds.
    pub(crate) fn limits(&self, name: &str, requests: f64, step: f64) -> PathBuf {
        let text = std::fs::read_to_string(testkit::root().join("slo.toml")).expect("slo.toml");
        let changed = text.replace("latency = 0.2 ", &format!("latency = {requests:?} "));
        let changed = changed.replace("latency = 1.0 ", &format!("latency = {step:?} "));
        let path = self.file(name);
        std::fs::write(&path, changed).expect("a file");
        path
    }

    /// How many rows each table of the database has: of all tables that there are.
    pub(crate) fn rows(&self) -> BTreeMap<String, u64> {
        let database = self.database.as_ref().expect("a rig on PostgreSQL");
        let tables = database.psql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'");
        let count = |table: &str| {
            let count = database.psql(&format!("SELECT count(*) FROM \"{table}\""));
            (table.to_owned(), count.parse().expect("a count"))
        };
        tables.lines().map(count).collect()
    }

    /// Runs the canary once; exit code, report, and all that it wrote.
    pub(crate) async fn run(&self, numbers: &[u8]) -> Ran {
        Ran::of(self.canary("run", numbers)).await
    }
}

/// A run that has ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) report: Value,
    pub(crate) output: String,
}

impl Ran {
    pub(crate) async fn of(builder: Builder) -> Self {
        let mut process = builder.arg("--output").arg("json").start();
        let status = process.wait(SOON).await;
        let report = process.logs().into_iter().find(Value::is_object).unwrap_or(Value::Null);
        Self { code: status.code().expect("an exit code"), report, output: process.output() }
    }

    #[track_caller]
    pub(crate) fn expect(self, code: i32, outcome: &str) -> Self {
        assert_eq!((self.code, &self.report["outcome"]), (code, &json!(outcome)), "{}", self.output);
        self
    }

    pub(crate) fn reasons(&self) -> String {
        let reasons = self.report["reasons"].as_array().into_iter().flatten();
        reasons.filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn step(&self, name: &str) -> &Value {
        let mut steps = self.report["steps"].as_array().into_iter().flatten();
        steps.find(|step| step["name"] == name).unwrap_or_else(|| panic!("no step {name}: {}", self.output))
    }

    pub(crate) fn attempts(&self) -> impl Iterator<Item = &Value> {
        let steps = self.report["steps"].as_array().into_iter().flatten();
        steps.flat_map(|step| step["attempts"].as_array().into_iter().flatten())
    }
}

/// Registers a user; their token.
pub(crate) async fn register(api: &str, email: &str) -> String {
    let body = json!({ "email": email, "password": PASSWORD, "name": "Canary" });
    let request = reqwest::Client::new().post(format!("{api}/api/v1/auth/register")).json(&body);
    let response = request.send().await.expect("the service answers");
    assert_eq!(response.status(), 201);
    let session: Value = response.json().await.expect("JSON");
    session["access_token"].as_str().expect("a token").to_owned()
}

/// The `server` blocks of nginx.
fn servers(upstream: SocketAddr, port: u16, http_port: u16, fronts: &[Front]) -> String {
    let to_service = format!("proxy_pass http://{upstream}; proxy_http_version 1.1; proxy_set_header Host $http_host;");
    let mut blocks = String::new();
    for Front { number, certificate, answers, plain } in fronts {
        let (before, last) = match answers {
            Answers::Service => (String::new(), to_service.clone()),
            Answers::Broken => (String::new(), "return 503;".to_owned()),
            Answers::Before(blocks) => (blocks.replace("TO_SERVICE", &to_service), to_service.clone()),
        };
        let plain = plain.replace("$host", &format!("{NAME}:{port}"));
        write!(
            blocks,
            "server {{ listen 127.0.0.{number}:{port} ssl; ssl_certificate {certificate}.pem; \
             ssl_certificate_key {certificate}.key; {before} location / {{ {last} }} }}\n\
             server {{ listen 127.0.0.{number}:{http_port}; location / {{ {plain} }} }}\n"
        )
        .expect("writing to a string cannot fail");
    }
    blocks
}

/// Certificates in all states: `good`, `expired`, `wrong-name`, `self-signed`, `soon` (20 days left), `very-soon` (3 days left);
/// and good ones of an intermediate authority: `chain`, `chain-soon` and `chain-expired` for that one's state, `chain-missing`
/// without it.
fn make_certificates(directory: &Path, client: &Path) {
    let authority = Authority::create(&client.join("ca.pem"));
    for (file, name, days) in [
        ("good", NAME, 90),
        ("expired", NAME, -3),
        ("wrong-name", "other.example.com", 90),
        ("soon", NAME, 20),
        ("very-soon", NAME, 3),
    ] {
        authority.sign(directory, file, name, days);
    }
    for (file, days) in [("chain", 90), ("chain-soon", 20), ("chain-expired", -3)] {
        authority.intermediate(days).sign_with_chain(directory, file, NAME, 90);
    }
    authority.intermediate(90).sign(directory, "chain-missing", NAME, 90);
    certificates::self_signed(directory, "self-signed", NAME, 90);
}
