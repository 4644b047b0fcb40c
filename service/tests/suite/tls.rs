//! TLS to PostgreSQL, against a server with a certificate of a CA that the test makes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::harness::postgres::{Options, Private, migrated};
use crate::harness::process::{Serving, task_api};
use crate::harness::{Backend, TestApp};

const SOON: Duration = Duration::from_secs(20);

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a CA")
}

/// A server whose certificate names `name`, and the PEM file of its CA.
fn server(name: &str, folder: &Path) -> Option<(Private, PathBuf)> {
    let authority = authority("ours");
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
    let certificate = params.signed_by(&key, &authority).expect("a certificate");
    let tls = Some((certificate.pem(), key.serialize_pem()));
    // Whoever does not speak TLS stays outside.
    let cluster = Private::start(Options { settings: Vec::new(), tls })?;
    let file = folder.join("ca.pem");
    std::fs::write(&file, authority.pem()).expect("a file");
    Some((cluster, file))
}

/// How `task-api migrate status` ends: its code and what it says.
async fn status(url: &str) -> (Option<i32>, String) {
    let mut process = task_api().env("DATABASE_URL", url).arg("migrate").arg("status").start();
    let code = process.wait(SOON).await.code();
    (code, process.errors().join("\n"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_believed_when_our_ca_signed_it_under_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some((cluster, ca)) = server("127.0.0.1", folder.path()) else { return };
    let database = migrated(&cluster).await;
    for mode in ["verify-full", "verify-ca", "require"] {
        let url = format!("{}?sslmode={mode}&sslrootcert={}", database.url, ca.display());
        let app = TestApp::builder(Backend::Postgres).database_url(url).spawn().await;
        app.register("ann").await;
        let encrypted = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                         WHERE application_name = 'task-api' AND datname = current_database()";
        assert_eq!(database.psql(encrypted), "t", "{mode}");
        app.stop().await;
    }
    let url = format!("{}?sslmode=verify-full&sslrootcert={}", database.url, ca.display());
    assert_eq!(status(&url).await, (Some(0), String::new()), "migrations go the same way");

    let stranger = folder.path().join("stranger.pem");
    std::fs::write(&stranger, authority("a stranger").pem()).expect("a file");
    let url = format!("{}?sslmode=verify-full&sslrootcert={}", database.url, stranger.display());
    let (code, says) = status(&url).await;
    assert_eq!(code, Some(1));
    assert!(says.contains("certificate") && says.contains("UnknownIssuer"), "{says}");
    assert_eq!(says.lines().count(), 1, "{says}");

    // The service starts, is not ready, and says why.
    let process = task_api().env("DATABASE_URL", &url).env("JWT_SECRET", "x".repeat(32)).serve().await;
    process.api().await.get("/ready").await.expect(503);
    let line = process.log("database_connection_failed").await;
    assert!(line["error"].as_str().is_some_and(|error| error.contains("UnknownIssuer")), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_under_another_name_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some((cluster, ca)) = server("database.example.com", folder.path()) else { return };
    let database = cluster.create_empty_database();
    for mode in ["verify-full", "require"] {
        let url = format!("{}?sslmode={mode}&sslrootcert={}", database.url, ca.display());
        let (code, says) = status(&url).await;
        assert_eq!(code, Some(1), "{mode}");
        assert!(says.contains("certificate") && says.contains("database.example.com"), "{mode}: {says}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_tls_is_refused_where_tls_is_asked_for() {
    let Some(cluster) = crate::harness::postgres::Cluster::get() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority("a stranger").pem()).expect("a file");
    let database = cluster.create_empty_database();
    let (code, says) = status(&format!("{}?sslmode=verify-full&sslrootcert={}", database.url, ca.display())).await;
    assert_eq!(code, Some(1));
    assert!(says.contains("TLS"), "{says}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_checked_is_refused_before_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let (empty, broken) = (folder.path().join("empty.pem"), folder.path().join("broken.pem"));
    std::fs::write(&empty, "").expect("a file");
    std::fs::write(&broken, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").expect("a file");
    let queries = [
        ("sslmode=require".to_owned(), "sslrootcert"),
        ("sslmode=verify-full".to_owned(), "sslrootcert"),
        ("sslmode=prefer".to_owned(), "sslmode=prefer"),
        ("sslrootcert=/tmp/ca.pem".to_owned(), "sslmode"),
        ("sslmode=verify-full&sslrootcert=/nowhere/ca.pem".to_owned(), "/nowhere/ca.pem"),
        (format!("sslmode=verify-full&sslrootcert={}", empty.display()), "empty.pem"),
        (format!("sslmode=verify-full&sslrootcert={}", broken.display()), "broken.pem"),
    ];
    for (query, names) in queries {
        let url = format!("postgres://user:hunter2@127.0.0.1/tasks?{query}");
        let mut process = task_api().env("DATABASE_URL", url).env("JWT_SECRET", "x".repeat(32)).start();
        assert_eq!(process.wait(SOON).await.code(), Some(64), "{query}: {}", process.output());
        let says = process.output();
        assert!(says.contains("DATABASE_URL") && says.contains(names) && !says.contains("hunter2"), "{query}: {says}");
        assert_eq!(says.lines().count(), 1, "{query}: {says}");
    }
}
