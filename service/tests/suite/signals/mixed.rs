//! Requests of every fate, very many of them, and five counts that agree: the client's, the histogram's, the log's, the
//! shipper's and that of the CloudWatch which got the lines.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::RwLock;

use super::drive::Drive;
use super::{DURATION, agree, canonical, settled};
use crate::harness::client::User;
use crate::harness::faulty::{PANICS, STALLS, faulty_task_api};
use crate::harness::moto::Moto;
use crate::harness::process::Signal;
use crate::harness::raw::Raw;
use crate::harness::scrape::Scrape;

/// How many are sent, in a quarter of a minute; `MIXED_REQUESTS=100000` is the full size.
const REQUESTS: usize = 20_000;
const CLIENTS: usize = 6;
/// As many stalled requests as these leave no room for another.
const IN_FLIGHT_MAX: usize = 32;
/// Requests that are shed in each burst.
const SHED: usize = 20;
/// moto takes its time for a large group.
const DELIVERY_MAX: Duration = Duration::from_secs(180);

fn requests() -> usize {
    std::env::var("MIXED_REQUESTS").map_or(REQUESTS, |text| text.parse().expect("MIXED_REQUESTS is a number"))
}

/// One client: a connection that is kept for as long as the service keeps it.
struct Client {
    drive: Arc<Drive>,
    ann: User,
    raw: Raw,
    /// Held to write by a burst, which would get others shed.
    calm: Arc<RwLock<()>>,
}

impl Client {
    /// Sends over the kept connection and counts the answer.
    async fn ask(&mut self, request: String) {
        self.raw.send(request).await;
        let reply = self.raw.reply().await.expect("an answer");
        self.drive.saw(reply.status);
        if reply.header("connection") == "close" {
            self.raw = Raw::connect(&self.drive.api).await;
        }
    }

    /// Sends over a connection of its own, without waiting.
    async fn begin(&self, request: &str) -> Raw {
        let mut raw = Raw::connect(&self.drive.api).await;
        raw.send(request).await;
        raw
    }

    /// The `at`-th request, or a burst of them.
    async fn send(&mut self, at: usize) {
        if at % 20_000 == 4 {
            let calm = Arc::clone(&self.calm);
            let _alone = calm.write().await;
            return self.burst().await;
        }
        let calm = Arc::clone(&self.calm);
        let _calm = calm.read().await;
        let stalled = format!("GET {STALLS} HTTP/1.1\r\nhost: x\r\n\r\n");
        match (at % 1000, at % 4000) {
            (_, 3) => self.ask(stalled).await,
            (1, _) => {
                drop(self.begin(&stalled).await);
                self.drive.saw(499);
            }
            (2, _) => {
                let large = format!("{{\"title\": \"{}\"}}", "x".repeat(1024 * 1024));
                let call = self.ann.request(reqwest::Method::POST, "tasks").body("application/json", large);
                self.drive.expect(413, call).await;
            }
            (500, _) => self.ask(post(PANICS, "", "a panic of the test")).await,
            _ => self.ask(self.small(at)).await,
        }
    }

    fn small(&self, at: usize) -> String {
        let token = format!("authorization: Bearer {}\r\n", self.ann.access_token);
        let get = |path: &str, headers: &str| format!("GET {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
        match at % 8 {
            0 => get("/health", ""),
            1 => get("/api/v1/me", &token),
            2 => get(&format!("/nowhere/{at}"), ""),
            3 => get("/api/v1/projects", ""),
            4 => get("/api/v1/tasks?limit=1", &token),
            5 => post("/api/v1/tasks", &token, "{\"title\": 7}"),
            6 => "PUT /health HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n".to_owned(),
            _ => get("/api/v1/tasks/0197c3a5-6f2e-7cc0-9b1e-2f6d3c1a5b77", &token),
        }
    }

    /// Takes all the room there is, and is refused more.
    async fn burst(&mut self) {
        self.drive.settle(0.0).await; // those who left have been noticed
        let mut stalled = Vec::new();
        for _ in 0..IN_FLIGHT_MAX {
            stalled.push(self.begin(&format!("GET {STALLS} HTTP/1.1\r\nhost: x\r\n\r\n")).await);
        }
        self.drive.settle(IN_FLIGHT_MAX as f64).await;
        for _ in 0..SHED {
            self.ask("GET /api/v1/me HTTP/1.1\r\nhost: x\r\n\r\n".to_owned()).await;
        }
        for mut stalled in stalled {
            let reply = stalled.reply().await.expect("an answer");
            assert_eq!(reply.status, 503, "given up");
            self.drive.saw(503);
        }
    }
}

fn post(path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\n{headers}content-type: application/json\r\n");
    format!("{head}content-length: {length}\r\n\r\n{body}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn very_many_requests_of_every_fate_count_the_same_from_the_client_to_cloudwatch() {
    let Some(moto) = Moto::get() else { return };
    let (group, spool) =
        (format!("/test/mixed/{}", uuid::Uuid::now_v7().simple()), tempfile::tempdir().expect("a spool"));
    let mut process = faulty_task_api()
        .env("CLOUDWATCH_LOG_GROUP", &group)
        .env("CLOUDWATCH_SPOOL_DIR", spool.path().to_string_lossy())
        .env("AWS_ENDPOINT_URL", format!("http://{}", moto.address()))
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("REQUEST_TIMEOUT_MS", "2000")
        .env("MAX_IN_FLIGHT", IN_FLIGHT_MAX.to_string())
        .env("QUEUE_TIMEOUT_MS", "20")
        .serve()
        .await;
    let drive = Arc::new(Drive::of(&process).await);
    let ann = drive.register("ann").await;
    let (started, requests) = (Instant::now(), requests());
    let calm = Arc::<RwLock<()>>::default();
    let mut clients = Vec::new();
    for first in 0..CLIENTS {
        let raw = Raw::connect(&drive.api).await;
        let mut client = Client { drive: Arc::clone(&drive), ann: ann.clone(), raw, calm: Arc::clone(&calm) };
        clients.push(tokio::spawn(async move {
            for at in (first..requests).step_by(CLIENTS) {
                client.send(at).await;
            }
        }));
    }
    for client in clients {
        client.await.expect("every request got what it should");
    }
    let seen = drive.seen();
    let total: u64 = seen.values().sum();
    println!("{total} requests in {:?}: {seen:?}", started.elapsed());
    for status in [200, 401, 404, 405, 413, 422, 499, 500, 503] {
        assert!(seen.contains_key(&status), "none ended with {status}: {seen:?}");
    }
    let scrape = settled(&drive.admin, total).await;
    let scrape = delivered(&drive, scrape).await;
    println!("delivered after {:?}", started.elapsed());
    process.signal(Signal::TERM);
    assert!(process.wait(DELIVERY_MAX).await.success(), "it ends well");

    let lines = process.logs();
    let canonical_lines = canonical(&lines);
    assert_eq!(canonical_lines.len() as u64, total, "canonical lines and requests");
    let ids: BTreeSet<&str> = canonical_lines.iter().filter_map(|line| line["request_id"].as_str()).collect();
    assert_eq!(ids.len() as u64, total, "one line for each request");
    for (status, count) in &seen {
        let label = status.to_string();
        let counted = scrape.sum(&format!("{DURATION}_count"), &[("http_response_status_code", &label)]);
        let logged = canonical_lines.iter().filter(|line| line["status"] == *status).count() as u64;
        assert_eq!((counted, logged), (*count as f64, *count), "{status}: the metric and the lines");
    }
    agree(&scrape, &canonical_lines);
    let bursts = (4..requests).step_by(20_000).count();
    for (reason, count) in [("in_flight_limit", bursts * SHED), ("body_too_large", seen[&413] as usize)] {
        let rejected = scrape.sum("http_server_rejected_requests_total", &[("reason", reason)]);
        assert_eq!(rejected, count as f64, "{reason}");
    }
    assert_eq!(scrape.value("panics_total"), seen[&500] as f64);

    let last = lines.iter().find(|line| line["event"] == "log_shipper_stopped").expect("the shipper's last line");
    assert_eq!((&last["lost"], &last["spooled"]), (&json!(0), &json!(0)), "{last}");
    let stored: Vec<Value> =
        moto.events(&group).iter().filter_map(|event| serde_json::from_str(&event.message).ok()).collect();
    let timeouts = scrape.sum("log_shipper_requests_total", &[("outcome", "timeout")]);
    let shipped = canonical(&stored);
    let arrived: BTreeSet<&str> = shipped.iter().filter_map(|line| line["request_id"].as_str()).collect();
    assert_eq!(arrived, ids, "every canonical line is in CloudWatch");
    if timeouts == 0.0 {
        // A request that was given up may have been stored all the same, and then its lines are there twice.
        assert_eq!(last["sent"], json!(stored.len()), "what the shipper says it sent, and what is there");
        assert_eq!(shipped.len() as u64, total);
    }
    println!("{} events in CloudWatch, all compared after {:?}", stored.len(), started.elapsed());
}

/// Waits until no line is on its way; the accounts of the last scrape add up and know of no loss.
async fn delivered(drive: &Drive, mut scrape: Scrape) -> Scrape {
    let deadline = Instant::now() + DELIVERY_MAX;
    loop {
        let of = |name: &str| scrape.sum(&format!("log_shipper_{name}"), &[]);
        let waiting = of("queued_lines") + of("spooled_lines");
        let lost = of("dropped_total") + of("rejected_total");
        assert_eq!(of("produced_total"), of("delivered_total") + waiting + lost, "the accounts add up");
        assert_eq!(lost, 0.0, "nothing is lost with a spool");
        if waiting == 0.0 {
            return scrape;
        }
        assert!(Instant::now() < deadline, "{waiting} lines wait");
        tokio::time::sleep(Duration::from_millis(200)).await;
        scrape = Scrape::of(&drive.admin).await;
    }
}
