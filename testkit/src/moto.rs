//! A real CloudWatch Logs of the tests' own: moto's server, shared by the tests of this process.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::held::Held;

const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A running server.
pub struct Moto {
    address: SocketAddr,
    _server: Held,
    _directory: TempDir,
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
        let Some(program) = crate::program("moto_server") else {
            crate::skip("moto_server");
            return None;
        };
        let directory = TempDir::new().expect("a temporary directory");
        let (address, log) = (crate::free_address(), directory.path().join("log"));
        let mut command = Command::new(program);
        command.args(["-H", "127.0.0.1", "-p", &address.port().to_string()]);
        let server = Held::start(&command, &log).listens(address, &log, START_TIMEOUT);
        Some(Self { address, _server: server, _directory: directory })
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
