//! The look from outside: a load balancer that ends TLS in front of the service, which is a real nginx, and `canary serve` as an
//! operator starts it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde_json::json;
use tempfile::TempDir;
use testkit::certificates::Authority;
use testkit::nginx::Nginx;
use testkit::process::{Builder, Process, binary};

/// What the load balancer's certificate is for.
const NAME: &str = "tasks.example.com";
const EMAIL: &str = "canary-of-the-tests@example.com";
const PASSWORD: &str = "seven wet canaries sing";

/// What people meet at the load balancer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Front {
    /// The service, and a certificate that was just renewed.
    Good,
    /// 503, as without a healthy target.
    Broken,
    /// The service, and a certificate whose renewal has failed: 20 days are left.
    NearExpiry,
}

/// Load balancer and canary.
pub(crate) struct Outside {
    /// Where the canary answers Prometheus, whenever it runs.
    pub(crate) metrics: SocketAddr,
    balancer: Nginx,
    services: Vec<String>,
    addresses: Vec<Ipv4Addr>,
    port: u16,
    http_port: u16,
    interval: &'static str,
    files: TempDir,
    canary: Option<Process>,
}

impl Outside {
    /// A load balancer on two addresses of loopback, 127.0.0.`number` and the next one, in front of these APIs
    /// (`http://…`). The canary has an account, and is not started yet. `None` where nginx is not installed.
    pub(crate) async fn start(services: &[String], number: u8, interval: &'static str) -> Option<Self> {
        let (files, served) = (TempDir::new().expect("a directory"), TempDir::new().expect("a directory"));
        let authority = Authority::create(&files.path().join("ca.pem"));
        authority.sign(served.path(), "good", NAME, 90);
        authority.sign(served.path(), "near-expiry", NAME, 20);
        let user = json!({"email": EMAIL, "password": PASSWORD, "name": "Canary"});
        let request = reqwest::Client::new().post(format!("{}/api/v1/auth/register", services[0])).json(&user);
        assert_eq!(request.send().await.expect("the service answers").status(), 201);

        let addresses: Vec<Ipv4Addr> = [number, number + 1].map(|last| Ipv4Addr::new(127, 0, 0, last)).into();
        let (port, http_port) = (testkit::free_address().port(), testkit::free_address().port());
        let blocks = blocks(services, &addresses, port, http_port, Front::Good);
        let balancer = Nginx::start(served, &blocks, (addresses[0], port).into())?;
        let metrics = testkit::free_address();
        let services = services.to_vec();
        let outside = Self { metrics, balancer, services, addresses, port, http_port, interval, files, canary: None };
        outside.give_credentials();
        // A machine under test is slow, and that is not what the canary looks for here.
        let limits = std::fs::read_to_string(testkit::root().join("slo.toml")).expect("the file of the repository");
        let generous = limits.replace("latency = 0.2 ", "latency = 10.0 ").replace("latency = 1.0 ", "latency = 10.0 ");
        assert_eq!(generous.matches("latency = 10.0 ").count(), 2, "{generous}");
        std::fs::write(outside.file("slo.toml"), generous).expect("a file");
        Some(outside)
    }

    /// Something else at the load balancer from now on.
    pub(crate) fn change(&self, front: Front) {
        self.balancer.reload(&blocks(&self.services, &self.addresses, self.port, self.http_port, front));
    }

    /// Starts the canary, and waits for its first run.
    pub(crate) async fn canary_starts(&mut self) {
        let addresses: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        let file = |name| self.file(name).display().to_string();
        let settings = [
            ("CANARY_TARGET", format!("https://{NAME}:{}", self.port)),
            ("CANARY_HTTP_PORT", self.http_port.to_string()),
            ("CANARY_CA_FILE", file("ca.pem")),
            ("CANARY_CREDENTIALS_FILE", file("credentials.json")),
            ("CANARY_SLO", file("slo.toml")),
            ("CANARY_INTERVAL", self.interval.to_owned()),
            ("CANARY_LISTEN_ADDR", self.metrics.to_string()),
            ("SYNTHETIC_SECRET", super::stage::SYNTHETIC_SECRET.to_owned()),
        ];
        let resolve = format!("{NAME}={}", addresses.join(","));
        let builder = Builder::new(binary("canary")).arg("serve").arg("--resolve").arg(&resolve);
        let process = settings.iter().fold(builder, |builder, (name, value)| builder.env(name, value)).start();
        process.log("canary_run").await;
        self.canary = Some(process);
    }

    /// The machine of the canary is gone.
    pub(crate) fn canary_stops(&mut self) {
        self.canary = None; // killed when dropped
    }

    /// All that the canary wrote since it was started.
    pub(crate) fn said(&self) -> String {
        self.canary.as_ref().map(Process::output).unwrap_or_default()
    }

    /// What the canary logs in with: it reads this before each run.
    pub(crate) fn give_credentials(&self) {
        let credentials = json!({"email": EMAIL, "password": PASSWORD}).to_string();
        std::fs::write(self.file("credentials.json"), credentials).expect("a file");
    }

    /// Somebody deletes them.
    pub(crate) fn take_credentials(&self) {
        std::fs::remove_file(self.file("credentials.json")).expect("it was there");
    }

    fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }
}

/// The `server` blocks of nginx.
fn blocks(services: &[String], addresses: &[Ipv4Addr], port: u16, http_port: u16, front: Front) -> String {
    let certificate = if matches!(front, Front::NearExpiry) { "near-expiry" } else { "good" };
    let answer = match front {
        Front::Broken => "return 503;",
        Front::Good | Front::NearExpiry => {
            "proxy_pass http://task_api; proxy_http_version 1.1; proxy_set_header Host $http_host;"
        }
    };
    let listen = |port: u16, kind: &str| -> String {
        addresses.iter().map(|address| format!("listen {address}:{port}{kind}; ")).collect()
    };
    let targets: String =
        services.iter().map(|service| format!("server {}; ", service.trim_start_matches("http://"))).collect();
    format!(
        "upstream task_api {{ {targets}}}\n\
         server {{ {}ssl_certificate {certificate}.pem; ssl_certificate_key {certificate}.key; \
         location / {{ {answer} }} }}\n\
         server {{ {}location / {{ return 301 https://{NAME}:{port}$request_uri; }} }}\n",
        listen(port, " ssl"),
        listen(http_port, "")
    )
}
