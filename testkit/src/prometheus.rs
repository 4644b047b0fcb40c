//! A real Prometheus of the test's own: it scrapes what its configuration names, and is asked in PromQL.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::held::Held;

const START_TIMEOUT: Duration = Duration::from_secs(30);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A running server with an empty database; it stores exemplars too.
pub struct Prometheus {
    address: SocketAddr,
    _server: Held,
    directory: TempDir,
}

impl Prometheus {
    /// Starts one with this configuration, the text of a `prometheus.yml`, and waits until it is ready; `None` where it is
    /// not installed: the caller skips.
    pub fn start(config: &str) -> Option<Self> {
        Self::start_in(TempDir::new().expect("a temporary directory"), config)
    }

    /// The same in a directory that holds what the configuration refers to, such as files of rules.
    pub fn start_in(directory: TempDir, config: &str) -> Option<Self> {
        let Some(program) = crate::program("prometheus") else {
            crate::skip("prometheus");
            return None;
        };
        let (address, log) = (crate::free_address(), directory.path().join("log"));
        let file = directory.path().join("prometheus.yml");
        std::fs::write(&file, config).expect("the configuration is written");
        let mut command = Command::new(program);
        command.current_dir(directory.path()).args([
            format!("--config.file={}", file.display()),
            format!("--storage.tsdb.path={}", directory.path().join("data").display()),
            format!("--web.listen-address={address}"),
            "--enable-feature=exemplar-storage".into(),
            "--log.level=warn".into(),
        ]);
        let server = Held::start(&command, &log).listens(address, &log, START_TIMEOUT);
        let prometheus = Self { address, _server: server, directory };
        let deadline = Instant::now() + START_TIMEOUT;
        while prometheus.ask("/-/ready").is_none_or(|(status, _)| status != 200) {
            let output = || std::fs::read_to_string(&log).unwrap_or_default();
            assert!(Instant::now() < deadline, "not ready after {START_TIMEOUT:?}\n{}", output());
            std::thread::sleep(POLL_INTERVAL);
        }
        Some(prometheus)
    }

    /// Where it listens, `http://address:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its working directory.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The value of an expression at this moment: labels (`__name__` among them) and value of each series, in no order. A
    /// scalar is one series without labels. Panics when Prometheus refuses the expression.
    pub fn query(&self, expression: &str) -> Vec<(BTreeMap<String, String>, f64)> {
        let data = self.api(&format!("query?query={}", encoded(expression)));
        let value = |pair: &Value| pair[1].as_str()?.parse().ok();
        let labels = |series: &Value| {
            let labels = series["metric"].as_object().into_iter().flatten();
            labels.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
        };
        let found = match data["resultType"].as_str() {
            Some("vector") => {
                let series = data["result"].as_array().into_iter().flatten();
                series.map(|series| Some((labels(series), value(&series["value"])?))).collect()
            }
            Some("scalar") => value(&data["result"]).map(|value| vec![(BTreeMap::new(), value)]),
            _ => None,
        };
        found.unwrap_or_else(|| panic!("{expression} is neither a vector nor a scalar: {data}"))
    }

    /// `data` of an answer of the API; `path` is what follows `/api/v1/`, with its query encoded. Panics with the answer
    /// when it is not a success.
    pub fn api(&self, path: &str) -> Value {
        let (status, body) = self.ask(&format!("/api/v1/{path}")).expect("prometheus answers");
        let mut answer: Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{path}: {status} {body}"));
        assert!(answer["status"] == "success", "{path}: {status} {body}");
        answer["data"].take()
    }

    /// Status and body of an answer. HTTP/1.0: the body ends with the connection, and never comes in chunks.
    fn ask(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT)).ok()?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\nhost: {}\r\n\r\n", self.address).as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }
}

/// A text as a value in a query string.
pub fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => write!(out, "%{byte:02X}").expect("writing to a string cannot fail"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prometheus_reads_its_files_and_answers() {
        let config = "global: {scrape_interval: 1s}\nrule_files: [rules.yml]\n";
        let directory = TempDir::new().expect("a temporary directory");
        let rule = "groups: [{name: g, interval: 1s, rules: [{record: two, expr: vector(2), labels: {a: 'b c'}}]}]";
        std::fs::write(directory.path().join("rules.yml"), rule).expect("a file of rules");
        let Some(prometheus) = Prometheus::start_in(directory, config) else { return };
        let deadline = Instant::now() + START_TIMEOUT;
        let found = loop {
            let found = prometheus.query("two{a=\"b c\"} * 10");
            if !found.is_empty() {
                break found;
            }
            assert!(Instant::now() < deadline, "the rule is never evaluated");
            std::thread::sleep(POLL_INTERVAL);
        };
        assert_eq!(found, [(BTreeMap::from([("a".into(), "b c".into())]), 20.0)]);
        assert_eq!(prometheus.query("1 + 1"), [(BTreeMap::new(), 2.0)]);
        assert!(prometheus.query("absent_metric").is_empty());
        assert!(prometheus.directory().join("data").is_dir() && prometheus.url().starts_with("http://127.0.0.1:"));
    }

    #[test]
    fn a_query_string_carries_any_text() {
        assert_eq!(encoded("a{b=\"ü c\"}+1"), "a%7Bb%3D%22%C3%BC%20c%22%7D%2B1");
    }
}
