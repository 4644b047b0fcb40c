//! HTTP by hand over one connection: requests that stop half-way, and headers as they came.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::client::Api;

const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// One connection to a listener.
pub struct Raw {
    stream: BufReader<TcpStream>,
}

/// An answer as it came.
#[derive(Debug, Clone)]
pub struct RawReply {
    /// The status code.
    pub status: u16,
    /// Names in lower case; of a repeated one the last.
    pub headers: BTreeMap<String, String>,
    /// As many bytes as `content-length` says.
    pub body: String,
}

impl RawReply {
    /// A header, or the empty string.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

impl Raw {
    /// Connects to the listener that `api` is a client of.
    pub async fn connect(api: &Api) -> Self {
        Self::try_connect(api).await.expect("the listener accepts")
    }

    /// As [`Raw::connect`], where a refusal is what the test is about.
    pub async fn try_connect(api: &Api) -> std::io::Result<Self> {
        let url = api.url("/");
        let address = url.trim_start_matches("http://").trim_end_matches('/');
        Ok(Self { stream: BufReader::new(TcpStream::connect(address).await?) })
    }

    /// Sends bytes as they are. The other end may be gone already: then it is the answer that is missing.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref()).await;
    }

    /// Sends a whole request without a body.
    pub async fn ask(&mut self, method: &str, path: &str, headers: &str) {
        self.send(format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n")).await;
    }

    /// The next answer; `None` when the connection is closed without one. Panics when neither happens.
    pub async fn reply(&mut self) -> Option<RawReply> {
        tokio::time::timeout(ANSWER_TIMEOUT, self.read()).await.expect("an answer or a close, in time")
    }

    /// The next answer without its body, for HEAD.
    pub async fn head(&mut self) -> Option<RawReply> {
        tokio::time::timeout(ANSWER_TIMEOUT, self.read_head()).await.expect("an answer or a close, in time")
    }

    async fn read(&mut self) -> Option<RawReply> {
        let mut reply = self.read_head().await?;
        let length = reply.headers.get("content-length").map_or(0, |length| length.parse().expect("a number"));
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await.ok()?;
        reply.body = String::from_utf8_lossy(&body).into_owned();
        Some(reply)
    }

    async fn read_head(&mut self) -> Option<RawReply> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return None;
        }
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status line: {line:?}"));
        let mut headers = BTreeMap::new();
        loop {
            line.clear();
            self.stream.read_line(&mut line).await.ok()?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        Some(RawReply { status, headers, body: String::new() })
    }
}
