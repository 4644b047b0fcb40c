//! Scenes of CloudWatch Logs: a day on which everything fails once, one on which nothing does, and a spool that was spoilt.

use std::fs;
use std::time::Duration;

use serde_json::json;

use super::scenes::until;
use super::seen::Seen;
use crate::harness::aws_faults::{AwsFaults, Fault, Request};
use crate::harness::moto::Moto;
use crate::harness::process::{Builder, Serving, task_api};

/// The path of a request whose line is refused, and with it all that are sent together.
const POISON: &str = "/poison";
/// The path of one that comes at the wrong time: it and its neighbours are refused within an accepting answer.
const UNTIMELY: &str = "/untimely";

fn shipping(faults: &AwsFaults, group: &str) -> Builder {
    task_api()
        .env("CLOUDWATCH_LOG_GROUP", format!("/test/{group}/{}", uuid::Uuid::now_v7().simple()))
        .env("AWS_ENDPOINT_URL", faults.url())
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
}

fn proxy() -> AwsFaults {
    AwsFaults::start(Moto::get().expect("asked before").address())
}

/// Everything that AWS answers, in turn.
fn trouble(request: &Request) -> Fault {
    match (request.operation.as_str(), request.number) {
        ("PutRetentionPolicy", _) => Fault::error(403, "AccessDeniedException"),
        ("PutLogEvents", 1) => Fault::error(400, "ThrottlingException"),
        ("PutLogEvents", 2) => Fault::error(500, "InternalFailure"),
        ("PutLogEvents", 3) => Fault::Cut,
        ("PutLogEvents", 4) => Fault::error(400, "ExpiredTokenException"),
        ("PutLogEvents", 5) => Fault::Delay(Duration::from_secs(15)),
        // First: it may come together with some of the others.
        ("PutLogEvents", _) if request.body.contains(POISON) => Fault::error(400, "InvalidParameterException"),
        ("PutLogEvents", _) if request.body.contains(UNTIMELY) => {
            let info = json!({ "rejectedLogEventsInfo": {
                "tooOldLogEventEndIndex": 1, "expiredLogEventEndIndex": 2, "tooNewLogEventStartIndex": 3 } });
            Fault::Answer(200, info.to_string())
        }
        _ => Fault::None, // the first finds no group
    }
}

/// Every outcome of a request, and every reason to refuse a line.
pub async fn bad_day(seen: &Seen) {
    let faults = proxy();
    faults.rule(trouble);
    let process = shipping(&faults, "bad").serve().await;
    let api = process.api().await;
    api.get("/health").await.expect(200);
    for outcome in ["missing", "throttled", "server_error", "connection", "credentials", "timeout"] {
        until(seen, &process, "log_shipper_requests_total", &[("outcome", outcome)], 1.0).await;
    }
    // As many as it takes until four of them are sent together.
    while seen.look(&process).await.sum("log_shipper_rejected_total", &[("reason", "too_new")]) == 0.0 {
        for _ in 0..4 {
            api.get(UNTIMELY).await.expect(404);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    for path in ["/health", POISON, "/health"] {
        api.get(path).await;
    }
    until(seen, &process, "log_shipper_rejected_total", &[("reason", "refused")], 1.0).await;
    until(seen, &process, "log_shipper_requests_total", &[("outcome", "ok")], 2.0).await;
    seen.end(process).await;
}

/// All lines arrive, and the last line says so.
pub async fn good_day(seen: &Seen) {
    let faults = proxy();
    let process = shipping(&faults, "good").env("CLOUDWATCH_METRICS_NAMESPACE", "TaskApi").serve().await;
    until(seen, &process, "log_shipper_delivered_total", &[], 1.0).await;
    seen.end(process).await;
}

/// A disk that gives back other bytes than it was given, and has a file that nobody can read.
pub async fn spoilt_spool(seen: &Seen) {
    let (faults, spool) = (proxy(), tempfile::tempdir().expect("a directory"));
    let directory = spool.path().to_string_lossy().into_owned();
    faults.rule(|_| Fault::Cut);
    let mut killed = shipping(&faults, "spool").env("CLOUDWATCH_SPOOL_DIR", &directory).serve().await;
    until(seen, &killed, "log_shipper_spooled_lines", &[], 1.0).await;
    killed.kill9();
    let mut spoilt = 0;
    for entry in fs::read_dir(spool.path()).expect("the spool").flatten() {
        let mut bytes = fs::read(entry.path()).expect("a file of the spool");
        if let Some(byte) = bytes.iter_mut().rev().nth(4) {
            *byte ^= 1; // the end of the last line
            fs::write(entry.path(), bytes).expect("a file of the spool");
            spoilt += 1;
        }
    }
    assert!(spoilt > 0, "nothing was spooled");
    fs::create_dir(spool.path().join(format!("{:020}.seg", 9999))).expect("a directory, which not even root can read");
    faults.rule(|_| Fault::None);
    let process = shipping(&faults, "spool").env("CLOUDWATCH_SPOOL_DIR", &directory).serve().await;
    until(seen, &process, "log_shipper_dropped_total", &[("reason", "spool_corrupt")], 1.0).await;
    until(seen, &process, "log_shipper_spool_errors_total", &[], 1.0).await;
    seen.end(process).await;
}
