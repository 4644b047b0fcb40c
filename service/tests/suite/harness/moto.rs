//! A real CloudWatch Logs of the tests' own: moto's server, shared by the tests of this process.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A running server. The shell that holds it reads its input, whose end no death of this process can prevent.
pub struct Moto {
    address: SocketAddr,
    _shell: Child,
}

/// One stored event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its stream.
    pub stream: String,
    /// In milliseconds since 1970.
    pub timestamp: i64,
    /// The line.
    pub message: String,
}

impl Moto {
    /// The server that all tests share; `None` where it is not installed: the caller skips.
    pub fn get() -> Option<&'static Self> {
        static SHARED: LazyLock<Option<Moto>> = LazyLock::new(Moto::start);
        SHARED.as_ref()
    }

    fn start() -> Option<Self> {
        let Some(program) = program() else {
            super::skip("moto_server");
            return None;
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        drop(listener);
        let script = r#""$0" -H 127.0.0.1 -p "$1" >/dev/null 2>&1 & server=$!; cat >/dev/null; kill "$server""#;
        let shell = Command::new("sh")
            .args(["-c", script])
            .arg(program)
            .arg(address.port().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("a shell starts");
        let deadline = Instant::now() + START_TIMEOUT;
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "moto_server does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(Self { address, _shell: shell })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Calls one operation of CloudWatch Logs.
    pub fn call(&self, operation: &str, input: &Value) -> Value {
        let body = input.to_string();
        let request = format!(
            "POST / HTTP/1.1\r\nhost: {}\r\nx-amz-target: Logs_20140328.{operation}\r\n\
             content-type: application/x-amz-json-1.1\r\ncontent-length: {}\r\nconnection: close\r\n\
             authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/logs/aws4_request, \
             SignedHeaders=host, Signature=0\r\n\r\n{body}",
            self.address,
            body.len()
        );
        let mut stream = TcpStream::connect(self.address).expect("moto listens");
        stream.write_all(request.as_bytes()).expect("moto reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("moto answers");
        let answer = String::from_utf8(answer).expect("an answer in UTF-8");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
        assert!(head.starts_with("HTTP/1.1 200"), "{operation}: {answer}");
        serde_json::from_str(body).unwrap_or(Value::Null)
    }

    /// Every event of a group, stream by stream, each in its order; empty if there is no such group.
    pub fn events(&self, group: &str) -> Vec<Stored> {
        let groups = self.call("DescribeLogGroups", &json!({ "logGroupNamePrefix": group }));
        if groups["logGroups"].as_array().is_none_or(Vec::is_empty) {
            return Vec::new();
        }
        let streams = self.call("DescribeLogStreams", &json!({ "logGroupName": group }));
        let names = streams["logStreams"].as_array().into_iter().flatten();
        names.filter_map(|stream| stream["logStreamName"].as_str()).flat_map(|name| self.stream(group, name)).collect()
    }

    fn stream(&self, group: &str, stream: &str) -> Vec<Stored> {
        let (mut events, mut token) = (Vec::new(), Value::Null);
        loop {
            let mut input = json!({ "logGroupName": group, "logStreamName": stream, "startFromHead": true });
            if !token.is_null() {
                input["nextToken"] = token.clone();
            }
            let page = self.call("GetLogEvents", &input);
            let page_events = page["events"].as_array().expect("a page has events");
            events.extend(page_events.iter().map(|event| Stored {
                stream: stream.to_owned(),
                timestamp: event["timestamp"].as_i64().expect("a timestamp"),
                message: event["message"].as_str().expect("a message").to_owned(),
            }));
            if page_events.is_empty() || page["nextForwardToken"] == token {
                return events;
            }
            token = page["nextForwardToken"].clone();
        }
    }
}

/// Where `scripts/install-test-tools` puts it, or on the path.
fn program() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates = vec![root.join(".tools/python/bin/moto_server")];
    candidates.extend(std::env::split_paths(&path).map(|directory| directory.join("moto_server")));
    candidates.into_iter().find(|candidate| candidate.is_file())
}
