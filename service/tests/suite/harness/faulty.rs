//! The service as a process of its own with two routes that the binary does not have: one that panics, one that never answers.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use clap::Parser as _;
use service::app::{App, AppState};
use service::clock::Clock;
use service::config::Args;

use super::process::Builder;

/// Panics with the body of the request.
pub const PANICS: &str = "/test/panics";
/// Never answers: the request is given up, or its client leaves.
pub const STALLS: &str = "/test/stalls";

/// What is left of the telemetry at the end may take longer than the binary gives it: here nothing may be lost.
const SHUTDOWN_MAX: Duration = Duration::from_secs(60);
/// Its presence tells the child from a run of all ignored tests.
const MARK: &str = "TEST_SERVES_FAULTY_ROUTES";

/// A command line for it. It takes the variables of the binary, both of its listeners are on free ports, and its line of
/// event `started` names them.
pub fn faulty_task_api() -> Builder {
    let mut builder = Builder::new(std::env::current_exe().expect("this binary"));
    for argument in ["--exact", "harness::faulty::serves_faulty_routes", "--ignored", "--nocapture"] {
        builder = builder.arg(argument);
    }
    builder.env(MARK, "1").env("LISTEN_ADDR", "127.0.0.1:0").env("ADMIN_ADDR", "127.0.0.1:0")
}

fn routes() -> Router<Arc<AppState>> {
    Router::new()
        .route(PANICS, post(|body: String| async move { if body.is_empty() { "no panic" } else { panic!("{body}") } }))
        .route(STALLS, get(|| async { pending::<&'static str>().await }))
}

/// As `main`, but for the routes: the panic hook and the log are the process's, so it needs one of its own.
#[test]
#[ignore = "started by the tests that need it"]
fn serves_faulty_routes() {
    if std::env::var_os(MARK).is_none() {
        return;
    }
    println!(); // what the test runner has written ends here, so that the first line of ours is whole
    let config = Args::try_parse_from(["task-api"]).expect("a command line").config().expect("a configuration");
    let settings = telemetry::Settings {
        service: "task-api",
        version: "0",
        environment: config.logs.environment.clone(),
        format: config.logs.format,
        filter: config.logs.filter.clone(),
        cloudwatch: config.logs.cloudwatch.clone(),
        traces: config.traces.clone(),
        sentry: config.sentry.clone(),
    };
    let telemetry = telemetry::init(settings).expect("telemetry");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let app = App::build_with_telemetry(config, Clock::system(), Some(telemetry.handles())).await.expect("an app");
        telemetry.attach(&app.state().metrics);
        let running = app.with_routes(routes()).start();
        let (api, admin) = (format!("http://{}", running.api), format!("http://{}", running.admin));
        tracing::info!(event = "started", api, admin, "serving");
        let terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
        terminate.expect("a signal").recv().await;
        running.stop().await;
    });
    let report = telemetry.shutdown(SHUTDOWN_MAX);
    assert!(report.complete, "{report:?}");
}
