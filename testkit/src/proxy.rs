//! A TCP proxy between the service and PostgreSQL, with the faults of a network.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

const CHUNK_BYTES: usize = 16 * 1024;
const BACKLOG: u32 = 1024;

#[derive(Clone, Copy)]
struct Condition {
    forwards: bool,
    delay: Duration,
}

const HEALTHY: Condition = Condition { forwards: true, delay: Duration::ZERO };

/// A proxy to one address. It ends with the test's runtime, or when dropped.
pub struct Proxy {
    address: SocketAddr,
    upstream: SocketAddr,
    condition: watch::Sender<Condition>,
    listening: Option<JoinHandle<()>>,
    /// Holds the port while nobody listens: a connection is refused, and no other process takes it.
    reserved: Option<TcpSocket>,
}

impl Proxy {
    /// Listens on a port of its own and forwards to `upstream`.
    pub async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let condition = watch::Sender::new(HEALTHY);
        let listening = Some(tokio::spawn(serve(listener, upstream, condition.subscribe())));
        Self { address, upstream, condition, listening, reserved: None }
    }

    /// Where to connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Drops every connection and refuses new ones, as a server that went away.
    pub async fn cut(&mut self) {
        if let Some(listening) = self.listening.take() {
            listening.abort();
            let _ = listening.await; // its listener and its connections are closed now
            let socket = TcpSocket::new_v4().expect("a socket");
            socket.set_reuseaddr(true).expect("an option");
            socket.bind(self.address).expect("the port just given up");
            self.reserved = Some(socket);
        }
    }

    /// Goes on accepting, and lets nothing through either way, as a network that lost its route. What was sent
    /// meanwhile arrives after [`Proxy::restore`].
    pub fn blackhole(&self) {
        self.condition.send_modify(|condition| condition.forwards = false);
    }

    /// Holds back everything by this time, each way.
    pub fn delay(&self, delay: Duration) {
        self.condition.send_modify(|condition| condition.delay = delay);
    }

    /// Forwards again, at once, and listens again after a cut.
    pub fn restore(&mut self) {
        self.condition.send_replace(HEALTHY);
        if let Some(socket) = self.reserved.take() {
            let listener = socket.listen(BACKLOG).expect("the reserved port");
            self.listening = Some(tokio::spawn(serve(listener, self.upstream, self.condition.subscribe())));
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(listening) = &self.listening {
            listening.abort();
        }
    }
}

/// Aborting this ends the connections as well: the set is dropped.
async fn serve(listener: TcpListener, upstream: SocketAddr, condition: watch::Receiver<Condition>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((client, _)) = listener.accept() => {
                connections.spawn(connect(client, upstream, condition.clone()));
            }
            Some(_) = connections.join_next() => {} // forgets those that ended
        }
    }
}

async fn connect(client: TcpStream, upstream: SocketAddr, mut condition: watch::Receiver<Condition>) {
    if condition.wait_for(|now| now.forwards).await.is_err() {
        return;
    }
    let Ok(server) = TcpStream::connect(upstream).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    // One end closed closes the other.
    tokio::select! {
        () = pump(client_read, server_write, condition.clone()) => {}
        () = pump(server_read, client_write, condition) => {}
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut condition: watch::Receiver<Condition>,
) {
    let mut chunk = vec![0; CHUNK_BYTES];
    while let Ok(bytes @ 1..) = from.read(&mut chunk).await {
        let delay = condition.borrow().delay;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if condition.wait_for(|now| now.forwards).await.is_err() || to.write_all(&chunk[..bytes]).await.is_err() {
            return;
        }
    }
}
