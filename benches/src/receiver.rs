//! The other end of the service's telemetry: an HTTP server that takes anything and answers what CloudWatch Logs, a collector
//! or Sentry answers to what it accepts, at once or late.
//!
//! A real server would take more of the machine than what is measured: moto alone fills a core at a few hundred lines a second.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// The longest body that is read: four times what CloudWatch Logs takes.
const BODY_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What has come so far.
#[derive(Debug, Default)]
pub struct Received {
    requests: AtomicU64,
    bytes: AtomicU64,
}

impl Received {
    /// Requests.
    pub fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// Bytes of their bodies.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }
}

/// A running receiver, on a thread of its own that ends with the process.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    /// What has come so far.
    pub received: Arc<Received>,
}

impl Receiver {
    /// Listens on a free port of loopback, and answers each request after `delay`.
    ///
    /// # Errors
    ///
    /// If no thread or no socket is to be had.
    pub fn start(delay: Duration) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let received = Arc::<Received>::default();
        let counts = Arc::clone(&received);
        let serve = async move {
            let Ok(listener) = TcpListener::from_std(listener) else { return };
            while let Ok((stream, _)) = listener.accept().await {
                let counts = Arc::clone(&counts);
                tokio::spawn(async move {
                    // A client that leaves in the middle is its own business.
                    let _ = serve(stream, delay, &counts).await;
                });
            }
        };
        std::thread::Builder::new().name("receiver".to_owned()).spawn(move || runtime.block_on(serve))?;
        Ok(Self { address, received })
    }

    /// As `AWS_ENDPOINT_URL` and `OTEL_EXPORTER_OTLP_ENDPOINT` take it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// As `SENTRY_DSN` takes it.
    pub fn dsn(&self) -> String {
        format!("http://key@{}/1", self.address)
    }
}

async fn serve(stream: TcpStream, delay: Duration, counts: &Received) -> io::Result<()> {
    let mut stream = BufReader::with_capacity(64 * 1024, stream);
    let mut line = String::new();
    loop {
        let (mut length, mut traces, mut first) = (0, false, true);
        loop {
            line.clear();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            traces |= first && line.contains("/v1/traces");
            first = false;
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
            if line == "\r\n" {
                break;
            }
        }
        if length > BODY_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let read = tokio::io::copy(&mut (&mut stream).take(length), &mut tokio::io::sink()).await?;
        counts.requests.fetch_add(1, Relaxed);
        counts.bytes.fetch_add(read, Relaxed);
        tokio::time::sleep(delay).await;
        // An accepted batch of spans is answered by an empty message, the others by an empty object.
        let (kind, body) = if traces { ("application/x-protobuf", "") } else { ("application/x-amz-json-1.1", "{}") };
        let length = body.len();
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}");
        stream.get_mut().write_all(answer.as_bytes()).await?;
    }
}
