//! What only a deployed target has: TLS in front of it, and a secret by which it believes that this is load.

use loadtest::fixture::Fault;
use tempfile::TempDir;
use testkit::certificates::Authority;
use testkit::nginx::Nginx;
use testkit::process::Builder;

use crate::harness::{finished, fixture, leftovers, machine, result, rules, short, slo, tool};

#[tokio::test]
async fn a_target_behind_tls_is_measured_and_one_of_nobody_s_is_not() {
    let _machine = machine().await;
    let (server, profile) = fixture(Fault::default());
    let address = testkit::free_address();
    let directory = TempDir::new().expect("a directory");
    let trusted = directory.path().join("ca.pem").display().to_string();
    Authority::create(&directory.path().join("ca.pem")).sign(directory.path(), "server", "localhost", 90);
    let blocks = format!(
        "server {{ listen {address} ssl; ssl_certificate server.pem; ssl_certificate_key server.key;\n\
         location / {{ proxy_pass {}; proxy_http_version 1.1; proxy_set_header Connection \"\"; }} }}",
        server.url()
    );
    let Some(_nginx) = Nginx::start(directory, &blocks, address) else { return };
    let host = format!("https://localhost:{}", address.port());
    let slo = slo();
    let arguments = short(&host, &slo, &["--rate", "100", "--profile", &profile]);
    let (code, output, folder) = finished(tool(&arguments).env("SSL_CERT_FILE", &trusted).start()).await;
    assert!(code == 1 || code == 2, "too few samples for a PASS: {output}");
    let measured = result(folder.path());
    for name in ["contract", "target answers"] {
        assert_eq!(rules(&measured, name)[0]["outcome"], "pass", "{output}");
    }
    assert_eq!(measured["operations"][0]["failed"], 0, "{output}");
    assert_eq!(server.projects(), 0);

    let other = TempDir::new().expect("a directory");
    drop(Authority::create(&other.path().join("ca.pem")));
    let untrusted = other.path().join("ca.pem").display().to_string();
    let (code, output, _) = finished(tool(&arguments).env("SSL_CERT_FILE", &untrusted).start()).await;
    assert_eq!((code, output.trim()), (2, format!("INVALID: GET /health of {host}: TLS failed").as_str()));
}

#[tokio::test]
async fn with_the_secret_the_target_counts_the_run_as_load() {
    const SECRET: &str = "a-secret-that-both-sides-know-of-32-bytes";
    let _machine = machine().await;
    let service = Builder::task_api().env("SYNTHETIC_SECRET", SECRET).serve().await;
    let (host, admin) = (service.address("api").await, service.address("admin").await);
    let (metrics, slo) = (format!("{admin}/metrics"), slo());
    let arguments = short(&host, &slo, &["--rate", "60", "--metrics-url", &metrics]);
    let (_, output, folder) = finished(tool(&arguments).env("SYNTHETIC_SECRET", SECRET).start()).await;
    let measured = result(folder.path());
    let counts = rules(&measured, "counts agree");
    assert_eq!(counts.len(), 5, "{output}");
    assert!(counts.iter().all(|rule| rule["outcome"] == "pass"), "of the series with synthetic=\"load\": {output}");
    assert!(!std::fs::read_to_string(folder.path().join("report/result.json")).expect("a result").contains(SECRET));
    let text = reqwest::get(metrics).await.expect("metrics").text().await.expect("text");
    let real =
        |line: &&str| line.contains("/api/v1/tasks") && line.contains("_count") && line.contains("synthetic=\"none\"");
    let users: Vec<&str> =
        text.lines().filter(real).filter(|line| !line.ends_with(" 0") && !line.contains("batch")).collect();
    assert_eq!(users, Vec::<&str>::new(), "none of it counts as a user's");
    assert_eq!(leftovers(folder.path()), Vec::<std::path::PathBuf>::new());
}
