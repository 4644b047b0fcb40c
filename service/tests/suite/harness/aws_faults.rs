//! A proxy before moto that understands HTTP: it throttles, fails, delays and cuts by request, as AWS does on a bad day.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// One request of the shipper.
pub struct Request {
    /// The operation, as in `PutLogEvents`.
    pub operation: String,
    /// How many of this operation came before.
    pub number: u64,
    /// Its JSON.
    pub body: String,
}

/// What becomes of it.
#[derive(Debug, Clone)]
pub enum Fault {
    /// It is forwarded, and the answer comes back.
    None,
    /// It is forwarded after this time.
    Delay(Duration),
    /// It is never forwarded; this status and JSON come back.
    Answer(u16, String),
    /// The connection ends without an answer.
    Cut,
}

impl Fault {
    /// An error answer of AWS.
    pub fn error(status: u16, code: &str) -> Self {
        Self::Answer(status, format!(r#"{{"__type":"{code}","message":"by the test"}}"#))
    }
}

type Rule = Box<dyn FnMut(&Request) -> Fault + Send>;

/// The rules and the counts, shared with the threads.
struct Shared {
    rule: Mutex<Rule>,
    seen: Mutex<Vec<String>>,
    upstream: SocketAddr,
}

/// The proxy; its threads end with the process.
pub struct AwsFaults {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl AwsFaults {
    /// Listens on a port of its own and forwards everything.
    pub fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let rule: Rule = Box::new(|_| Fault::None);
        let shared = Arc::new(Shared { rule: Mutex::new(rule), seen: Mutex::default(), upstream });
        let of_thread = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = Arc::clone(&of_thread);
                std::thread::spawn(move || {
                    let _ = serve(&client, &shared);
                });
            }
        });
        Self { address, shared }
    }

    /// As `AWS_ENDPOINT_URL` takes it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Decides about every request from now on.
    pub fn rule(&self, rule: impl FnMut(&Request) -> Fault + Send + 'static) {
        *self.shared.rule.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(rule);
    }

    /// Decides about every PutLogEvents from now on.
    pub fn puts(&self, mut rule: impl FnMut(&Request) -> Fault + Send + 'static) {
        self.rule(move |request| if request.operation == "PutLogEvents" { rule(request) } else { Fault::None });
    }

    /// Requests of one operation so far.
    pub fn seen(&self, operation: &str) -> u64 {
        let seen = self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().filter(|name| *name == operation).count() as u64
    }
}

fn serve(client: &TcpStream, shared: &Shared) -> std::io::Result<()> {
    let mut reader = BufReader::new(client);
    let (mut head, mut operation, mut length) = (String::new(), String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        if lower.starts_with("x-amz-target:") {
            operation = line.trim().rsplit('.').next().unwrap_or_default().to_owned();
        }
        if line == "\r\n" {
            break;
        }
        if !lower.starts_with("connection:") {
            head.push_str(&line);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let number = {
        let mut seen = shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let number = seen.iter().filter(|name| **name == operation).count() as u64;
        seen.push(operation.clone());
        number
    };
    let request = Request { operation, number, body: String::from_utf8_lossy(&body).into_owned() };
    let fault = (shared.rule.lock().unwrap_or_else(PoisonError::into_inner))(&request);
    match fault {
        Fault::None => {}
        Fault::Delay(delay) => std::thread::sleep(delay),
        Fault::Answer(status, json) => {
            let length = json.len();
            let kind = "content-type: application/x-amz-json-1.1";
            let answer = format!(
                "HTTP/1.1 {status} Test\r\n{kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{json}"
            );
            return (&mut &*client).write_all(answer.as_bytes());
        }
        Fault::Cut => return client.shutdown(std::net::Shutdown::Both),
    }
    let mut server = TcpStream::connect(shared.upstream)?;
    server.write_all(format!("{head}connection: close\r\n\r\n").as_bytes())?;
    server.write_all(&body)?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    (&mut &*client).write_all(&answer)
}
