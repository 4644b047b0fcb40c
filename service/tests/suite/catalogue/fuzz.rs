//! Ten thousand requests of every kind cannot make more series than the catalogue says.

use std::collections::BTreeSet;

use service::http::routes::ROUTES;
use service::store::Operation;
use telemetry::catalogue::{self, METRICS};

use crate::harness::raw::Raw;
use crate::harness::scrape::Scrape;
use crate::harness::{Backend, TestApp};
use crate::signals::{check_samples, settled};

const CLIENTS: u64 = 4;
const REQUESTS: u64 = 10_000;

/// A stream of numbers that is the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn one_of<T: Copy>(&mut self, values: &[T]) -> T {
        values[(self.next() % values.len() as u64) as usize]
    }

    /// A word of letters that HTTP takes anywhere.
    fn word(&mut self, letters_max: u64) -> String {
        let letters = 1 + self.next() % letters_max;
        (0..letters).map(|_| char::from(b'A' + (self.next() % 26) as u8)).collect()
    }
}

/// Known and unknown methods, templates taken literally, filled in or broken, hosts, agents, queries and bodies at random.
fn request(random: &mut Random, token: &str) -> Vec<u8> {
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"];
    let method = if random.next().is_multiple_of(4) { random.word(12) } else { random.one_of(&known).to_owned() };
    let template = random.one_of(ROUTES).route;
    let path = match random.next() % 5 {
        0 => format!("/{}", random.word(40)),
        1 => format!("{}/{}", template.replace(['{', '}', '*'], ""), random.word(9)),
        2 => template.replace('{', "%7B").replace('}', "%7D"),
        3 => format!("/{}{template}", random.word(3)).replace(['{', '}', '*'], "~"),
        _ => template.replace("{id}", &uuid::Uuid::from_u64_pair(random.next(), random.next()).to_string()),
    };
    let path = path.replace(['{', '}'], "");
    let (host, agent, query) = (random.word(60), random.word(80), random.word(30));
    let mut body: Vec<u8> = (0..random.next() % 64).map(|_| random.next() as u8).collect();
    if random.next().is_multiple_of(4) {
        body = format!("{{\"title\": \"{}\", \"name\": \"{}\"}}", random.word(20), random.word(20)).into_bytes();
    }
    let authorization = match random.next() % 3 {
        0 => format!("authorization: Bearer {token}\r\n"),
        1 => format!("authorization: {}\r\n", random.word(30)),
        _ => String::new(),
    };
    let kind = random.one_of(&["application/json", "text/plain", "x/y"]);
    let mut bytes = format!(
        "{method} {path}?{query}={query} HTTP/1.1\r\nhost: {host}\r\nuser-agent: {agent}\r\n{authorization}\
         x-forwarded-for: {host}\r\nx-request-id: {agent}\r\nx-synthetic: canary\r\n{}: {agent}\r\n\
         content-type: {kind}\r\ncontent-length: {}\r\n\r\n",
        random.word(20),
        body.len()
    )
    .into_bytes();
    bytes.extend(body);
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_random_requests_keep_the_series_under_the_bound_of_the_catalogue() {
    let app = TestApp::spawn(Backend::Sqlite).await;
    let ann = app.register("ann").await;
    let before = settled(&app.admin, 2).await; // a registration and a look at oneself
    let clients = (0..CLIENTS).map(|client| {
        let (api, token) = (app.api.clone(), ann.access_token.clone());
        tokio::spawn(async move {
            let mut random = Random(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(client + 1));
            let mut raw = Raw::connect(&api).await;
            let mut distinct = BTreeSet::new();
            for _ in 0..REQUESTS / CLIENTS {
                let bytes = request(&mut random, &token);
                raw.send(&bytes).await;
                let reply = if bytes.starts_with(b"HEAD ") { raw.head().await } else { raw.reply().await };
                let reply = reply.unwrap_or_else(|| panic!("no answer to {}", String::from_utf8_lossy(&bytes)));
                if reply.header("connection") == "close" {
                    raw = Raw::connect(&api).await;
                }
                distinct.insert(bytes);
            }
            distinct.len() as u64
        })
    });
    let mut distinct = 0;
    for client in clients.collect::<Vec<_>>() {
        distinct += client.await.expect("every request was answered");
    }
    assert_eq!(distinct, REQUESTS, "no two are the same");
    let after: Scrape = settled(&app.admin, 2 + REQUESTS).await;
    check_samples(&after);
    let routes: BTreeSet<_> =
        after.samples.iter().filter_map(|sample| sample.labels.get("http_route")).map(String::as_str).collect();
    let known: BTreeSet<_> = ROUTES.iter().map(|route| route.route).chain([catalogue::UNMATCHED]).collect();
    assert_eq!(routes, known);
    // The bound, computed once more from what is declared: templates and operations for the labels that are open until the start.
    let bound: usize = METRICS
        .iter()
        .map(|metric| {
            metric.series_max(|label| match label.name {
                "http_route" => Some(known.len()),
                "db_operation_name" => Some(Operation::NAMES.len()),
                _ => None,
            })
        })
        .sum();
    let (series, exported) = (after.value("telemetry_series"), after.value("telemetry_series_max"));
    assert_eq!((series, exported), (after.samples.len() as f64, bound as f64));
    assert!(series <= exported, "{series} series, the bound is {exported}");
    assert!(series > before.value("telemetry_series"), "the requests counted under labels of their own");
}
