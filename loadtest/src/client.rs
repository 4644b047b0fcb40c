//! HTTP/1.1 over one connection at a time: little between the clock and the socket, and each byte of a body waited for.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::target::Target;

/// Longest that a request may take before it counts as failed: no objective waits that long.
pub const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest that a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of an answer at most: a page of 200 tasks with their descriptions fits.
const BODY_BYTES_MAX: usize = 16 << 20;

/// Why there is no answer. Displayed as a closed set of words, so that errors can be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Failure {
    /// No connection: refused, unreachable, or the name is unknown.
    Connect,
    /// The certificate or the handshake.
    Tls,
    /// The connection broke before the last byte.
    Broken,
    /// No last byte in time.
    Timeout,
    /// An answer over the bound on its size.
    TooLarge,
}

impl Failure {
    /// As reports spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "no connection",
            Self::Tls => "TLS failed",
            Self::Broken => "connection broke",
            Self::Timeout => "no answer in 10 s",
            Self::TooLarge => "answer over 16 MiB",
        }
    }
}

/// Makes connections to one server.
#[derive(Clone)]
pub struct Connector {
    target: Arc<Target>,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Connector {
    /// A connector to this server; certificates are checked against what the machine trusts.
    ///
    /// # Errors
    /// When the machine trusts nobody, or the host's name can be on no certificate.
    pub fn new(target: Target) -> Result<Self, String> {
        let tls = if target.tls { Some(tls(&target.host)?) } else { None };
        Ok(Self { target: Arc::new(target), tls })
    }

    /// The server.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Makes a connection.
    ///
    /// # Errors
    /// When there is none in time.
    pub async fn connect(&self) -> Result<Connection, Failure> {
        tokio::time::timeout(CONNECT_TIMEOUT, self.open()).await.unwrap_or(Err(Failure::Connect))
    }

    async fn open(&self) -> Result<Connection, Failure> {
        let address = (self.target.host.as_str(), self.target.port);
        let stream = TcpStream::connect(address).await.map_err(|_| Failure::Connect)?;
        stream.set_nodelay(true).map_err(|_| Failure::Connect)?;
        match &self.tls {
            None => handshake(stream).await,
            Some((connector, name)) => {
                handshake(connector.connect(name.clone(), stream).await.map_err(|_| Failure::Tls)?).await
            }
        }
    }
}

fn tls(host: &str) -> Result<(TlsConnector, ServerName<'static>), String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err("this machine trusts no certificate authority: install ca-certificates".to_owned());
    }
    let name = ServerName::try_from(host.to_owned()).map_err(|_| format!("{host:?} can be on no certificate"))?;
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Ok((TlsConnector::from(Arc::new(config)), name))
}

async fn handshake(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Connection, Failure> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|_| Failure::Broken)?;
    tokio::spawn(connection); // ends with the sender, or when the server hangs up
    Ok(Connection { sender })
}

/// One connection, for one request after another.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
}

/// Why a request failed, and whether the server may have seen it.
pub struct Unanswered {
    /// What happened.
    pub failure: Failure,
    /// Whether it left this machine.
    pub sent: bool,
}

impl Connection {
    /// Whether the server has not hung up yet.
    pub fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Sends a request and reads the answer to its last byte. After a failure the connection is of no use.
    ///
    /// # Errors
    /// When there is no whole answer in time.
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, Unanswered> {
        let answered = tokio::time::timeout(TIMEOUT, async {
            if self.sender.ready().await.is_err() {
                return Err(Unanswered { failure: Failure::Broken, sent: false });
            }
            let answer = self.sender.send_request(request).await;
            let answer = answer.map_err(|error| Unanswered { failure: Failure::Broken, sent: !error.is_canceled() })?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, BODY_BYTES_MAX).collect().await.map_err(|error| {
                let failure = if error.is::<LengthLimitError>() { Failure::TooLarge } else { Failure::Broken };
                Unanswered { failure, sent: true }
            })?;
            Ok(Response::from_parts(head, body.to_bytes()))
        });
        answered.await.unwrap_or(Err(Unanswered { failure: Failure::Timeout, sent: true }))
    }
}
