//! A real Prometheus, a real Alertmanager, and somebody whom it calls.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use testkit::held::Held;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const START_TIMEOUT: Duration = Duration::from_secs(20);

/// A running server, gone when dropped.
pub(crate) struct Server {
    address: SocketAddr,
    _server: Held,
    _folder: TempDir,
}

impl Server {
    /// Prometheus with what is in a folder, `alerts/prometheus.yml` its configuration.
    pub(crate) fn prometheus(address: SocketAddr, folder: TempDir) -> Option<Self> {
        Self::start("prometheus", address, folder, |command, address| {
            command.args(["--config.file=alerts/prometheus.yml", "--storage.tsdb.path=data", "--log.level=warn"]);
            // An alert that fired before Alertmanager was found is sent again after this, a minute by default.
            command.arg("--rules.alert.resend-delay=1s");
            command.arg(format!("--web.listen-address={address}"));
        })
    }

    /// Alertmanager with what is in a folder, `alerts/alertmanager.yml` its configuration.
    pub(crate) fn alertmanager(address: SocketAddr, folder: TempDir) -> Option<Self> {
        Self::start("prometheus-alertmanager", address, folder, |command, address| {
            command.args(["--config.file=alerts/alertmanager.yml", "--storage.path=data", "--log.level=warn"]);
            command.args([format!("--web.listen-address={address}"), "--cluster.listen-address=".to_owned()]);
        })
    }

    fn start(
        name: &str,
        address: SocketAddr,
        folder: TempDir,
        with: impl Fn(&mut Command, SocketAddr),
    ) -> Option<Self> {
        let Some(program) = testkit::program(name) else {
            testkit::skip(name);
            return None;
        };
        let mut command = Command::new(program);
        command.current_dir(folder.path());
        with(&mut command, address);
        let log = folder.path().join("log");
        let server = Held::start(&command, &log).listens(address, &log, START_TIMEOUT);
        Some(Self { address, _server: server, _folder: folder })
    }

    /// What it answers to a GET, as JSON; null while it is still starting.
    pub(crate) async fn get(&self, path: &str, query: &[(&str, &str)]) -> Value {
        let url = reqwest::Url::parse_with_params(&format!("http://{}{path}", self.address), query).expect("a URL");
        reqwest::get(url).await.expect("an answer").json().await.unwrap_or(Value::Null)
    }

    /// Posts JSON, which must be taken.
    pub(crate) async fn post(&self, path: &str, body: &Value) {
        let request = reqwest::Client::new().post(format!("http://{}{path}", self.address)).json(body);
        let answer = request.send().await.expect("an answer");
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
    }

    /// The first value of an instant query to Prometheus.
    pub(crate) async fn value(&self, query: &str) -> Option<f64> {
        let answer = self.get("/api/v1/query", &[("query", query)]).await;
        answer["data"]["result"][0]["value"][1].as_str()?.parse().ok()
    }
}

/// What arrived: the path, and one alert of its body.
pub(crate) type Told = (String, Value);

/// Somebody who listens: takes every POST and remembers its alerts.
pub(crate) struct Receiver {
    /// Where.
    pub(crate) address: SocketAddr,
    told: Arc<Mutex<Vec<Told>>>,
    listening: JoinHandle<()>,
}

impl Receiver {
    /// Listens on a port of its own.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let told = Arc::<Mutex<Vec<Told>>>::default();
        let remembered = Arc::clone(&told);
        let listening = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&remembered)));
            }
        });
        Self { address, told, listening }
    }

    /// All alerts so far, in the order in which they came.
    pub(crate) fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until an alert came that is like this. Panics with all that came when none does.
    pub(crate) async fn waits_for(&self, what: &str, timeout: Duration, like: impl Fn(&Told) -> bool) -> Told {
        self.waits_for_after(0, what, timeout, like).await
    }

    /// The same, not counting as many as had come before.
    pub(crate) async fn waits_for_after(
        &self,
        before: usize,
        what: &str,
        timeout: Duration,
        like: impl Fn(&Told) -> bool,
    ) -> Told {
        let found = tokio::time::timeout(timeout, async {
            loop {
                if let Some(found) = self.told().into_iter().skip(before).find(&like) {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        found.await.unwrap_or_else(|_| panic!("{what}: not told within {timeout:?}: {:#?}", self.told()))
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn serve(stream: TcpStream, told: Arc<Mutex<Vec<Told>>>) {
    let mut stream = BufReader::new(stream);
    while let Some((path, body)) = request(&mut stream).await {
        for alert in body["alerts"].as_array().into_iter().flatten() {
            told.lock().unwrap_or_else(PoisonError::into_inner).push((path.clone(), alert.clone()));
        }
        if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.is_err() {
            return;
        }
    }
}

/// One request of a connection; `None` at its end.
async fn request(stream: &mut BufReader<TcpStream>) -> Option<(String, Value)> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut length = 0;
    loop {
        line.clear();
        stream.read_line(&mut line).await.ok()?;
        match line.trim_end().to_ascii_lowercase().split_once(": ") {
            Some(("content-length", value)) => length = value.parse().ok()?,
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some((path, serde_json::from_slice(&body).unwrap_or(Value::Null)))
}
