//! A load that takes no as an answer: requests that arrive at their moments whatever the service does, or clients that each wait
//! for their answer; all statuses are counted, the times are those of the 2xx.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::JoinSet;

use crate::load::status_and_end;

/// The longest answer that is expected, header and body.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// How often requests that have become due are sent.
const TICK: Duration = Duration::from_millis(1);
/// How long answers may take after the last request.
const DRAIN_MAX: Duration = Duration::from_secs(15);

/// Who is asked what, over how many connections.
#[derive(Debug, Clone)]
pub struct Target {
    /// The listener.
    pub address: SocketAddr,
    /// The whole request.
    pub request: Vec<u8>,
    /// Connections, each with one request at a time.
    pub connections: usize,
    /// Requests that come within so long before the end of the load are counted and not timed: they may be answered when it is over.
    pub untimed: Duration,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Requests that were due, sent or not.
    pub offered: u64,
    /// Requests that found every connection busy, and were given up.
    pub unsent: u64,
    /// Requests whose connection broke before the answer.
    pub broken: u64,
    /// Answers by their status.
    pub statuses: BTreeMap<u16, u64>,
    /// Answers of 2xx that came within the time of the load.
    pub in_time: u64,
    /// Each 2xx' time in microseconds, from the moment at which its request was due.
    pub micros: Vec<u32>,
    /// Each other answer's, likewise.
    pub micros_refused: Vec<u32>,
    /// How late the requests were sent, in microseconds: the generator's own fault.
    pub micros_late: Vec<u32>,
}

impl Outcome {
    /// Answers with this status.
    pub fn of(&self, status: u16) -> u64 {
        self.statuses.get(&status).copied().unwrap_or_default()
    }

    fn record(&mut self, status: u16, took: Duration, in_time: bool, is_timed: bool) {
        *self.statuses.entry(status).or_default() += 1;
        let accepted = (200..300).contains(&status);
        self.in_time += u64::from(accepted && in_time);
        if !is_timed {
            return;
        }
        if accepted { &mut self.micros } else { &mut self.micros_refused }.push(micros(took));
    }
}

fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

/// What the connections share: the account, and which of them are idle.
#[derive(Default)]
struct Shared {
    outcome: Outcome,
    idle: Vec<usize>,
}

type Common = Arc<Mutex<Shared>>;

fn with<T>(common: &Common, work: impl FnOnce(&mut Shared) -> T) -> T {
    work(&mut common.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Target {
    /// Open loop: `rate` requests a second become due, whether or not those before them are answered. One that finds all
    /// connections busy is not sent. Run it on a runtime of one thread: it then takes at most one core.
    ///
    /// # Errors
    ///
    /// If the service cannot be connected to at the start.
    pub async fn open_loop(&self, rate: f64, duration: Duration) -> anyhow::Result<Outcome> {
        let (common, mut connections, mut senders) = (Common::default(), JoinSet::new(), Vec::new());
        for number in 0..self.connections {
            let stream = self.connect().await?;
            let (sender, due) = channel(1);
            senders.push(sender);
            connections.spawn(connection(self.clone(), stream, number, due, Arc::clone(&common)));
        }
        with(&common, |shared| shared.idle = (0..self.connections).rev().collect());
        let start = Instant::now();
        let end = start + duration;
        let mut tick = tokio::time::interval(TICK);
        let mut next = start;
        while next < end {
            tick.tick().await;
            while next <= Instant::now() && next < end {
                let idle = with(&common, |shared| {
                    shared.outcome.offered += 1;
                    let idle = shared.idle.pop();
                    shared.outcome.unsent += u64::from(idle.is_none());
                    idle
                });
                if let Some(number) = idle {
                    let _ = senders[number].try_send((next, end)); // idle: its place is free
                }
                let offered = with(&common, |shared| shared.outcome.offered);
                next = start + Duration::from_secs_f64(offered as f64 / rate);
            }
        }
        drop(senders); // each ends after its last answer
        let drained = async { while connections.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(DRAIN_MAX, drained).await;
        Ok(with(&common, |shared| std::mem::take(&mut shared.outcome)))
    }

    /// Closed loop: each connection is a client that sends again when it has its answer, whichever that is.
    ///
    /// # Errors
    ///
    /// If a connection cannot be made or breaks.
    pub async fn closed_loop(&self, duration: Duration) -> anyhow::Result<Outcome> {
        let end = Instant::now() + duration;
        let mut clients = JoinSet::new();
        for _ in 0..self.connections {
            let (target, mut stream) = (self.clone(), self.connect().await?);
            clients.spawn(async move {
                let (mut outcome, mut answer) = (Outcome::default(), Vec::new());
                while Instant::now() < end {
                    let sent = Instant::now();
                    let status = exchange(&mut stream, &target.request, &mut answer).await?;
                    outcome.offered += 1;
                    outcome.record(status, sent.elapsed(), Instant::now() <= end, true);
                }
                anyhow::Ok(outcome)
            });
        }
        let mut all = Outcome::default();
        while let Some(one) = clients.join_next().await {
            let one = one??;
            all.offered += one.offered;
            all.in_time += one.in_time;
            all.micros.extend(one.micros);
            all.micros_refused.extend(one.micros_refused);
            for (status, count) in one.statuses {
                *all.statuses.entry(status).or_default() += count;
            }
        }
        Ok(all)
    }

    async fn connect(&self) -> anyhow::Result<TcpStream> {
        let stream = TcpStream::connect(self.address).await.context("nobody listens")?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// Sends what is due, one request after the other; connects again after a break.
async fn connection(
    target: Target,
    mut stream: TcpStream,
    number: usize,
    mut due: Receiver<(Instant, Instant)>,
    common: Common,
) {
    let mut answer = Vec::with_capacity(4096);
    while let Some((due, end)) = due.recv().await {
        let late = due.elapsed();
        let status = exchange(&mut stream, &target.request, &mut answer).await;
        let (took, in_time) = (due.elapsed(), Instant::now() <= end);
        let is_timed = due + target.untimed <= end;
        with(&common, |shared| {
            shared.outcome.micros_late.push(micros(late));
            match &status {
                Ok(status) => shared.outcome.record(*status, took, in_time, is_timed),
                Err(_) => shared.outcome.broken += 1,
            }
        });
        if status.is_err() {
            let Ok(again) = target.connect().await else { return };
            stream = again;
        }
        with(&common, |shared| shared.idle.push(number));
    }
}

/// Sends a request, reads one whole answer, and returns its status.
async fn exchange(stream: &mut TcpStream, request: &[u8], answer: &mut Vec<u8>) -> anyhow::Result<u16> {
    stream.write_all(request).await?;
    answer.clear();
    loop {
        ensure!(stream.read_buf(answer).await? > 0, "the connection ended");
        ensure!(answer.len() <= ANSWER_BYTES_MAX, "an endless answer");
        if let Some((status, end)) = status_and_end(answer)?
            && answer.len() >= end
        {
            return Ok(status);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers each request after so long: every second one with 503.
    async fn serve(delay: Duration) -> std::io::Result<SocketAddr> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut request = [0; 1024];
                    for turn in 0.. {
                        if !stream.read(&mut request).await.is_ok_and(|length| length > 0) {
                            return;
                        }
                        tokio::time::sleep(delay).await;
                        let status = if turn % 2 == 0 { "200 OK" } else { "503 Busy" };
                        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
                        let _ = stream.write_all(answer.as_bytes()).await;
                    }
                });
            }
        });
        Ok(address)
    }

    fn target(address: SocketAddr, connections: usize) -> Target {
        Target { address, request: b"GET / HTTP/1.1\r\n\r\n".to_vec(), connections, untimed: Duration::ZERO }
    }

    #[tokio::test]
    async fn an_open_loop_offers_its_rate_whatever_the_service_does() -> anyhow::Result<()> {
        // 100 a second for half a second to a service that takes 200 ms, over four connections: they are busy most of the time.
        let target = target(serve(Duration::from_millis(200)).await?, 4);
        let outcome = target.open_loop(100.0, Duration::from_millis(500)).await?;
        assert_eq!(outcome.offered, 50);
        let answered = outcome.of(200) + outcome.of(503);
        assert_eq!(outcome.unsent + answered, 50, "{outcome:?}");
        assert!((4..=16).contains(&answered), "{outcome:?}");
        assert_eq!((outcome.micros.len() as u64, outcome.broken), (outcome.of(200), 0));
        assert!(outcome.micros.iter().all(|micros| *micros >= 200_000), "{outcome:?}");
        Ok(())
    }

    #[tokio::test]
    async fn a_client_of_a_closed_loop_goes_on_after_a_refusal() -> anyhow::Result<()> {
        let target = target(serve(Duration::from_millis(5)).await?, 2);
        let outcome = target.closed_loop(Duration::from_millis(200)).await?;
        assert_eq!(outcome.offered, outcome.of(200) + outcome.of(503));
        assert!(outcome.of(503) > 1 && outcome.in_time <= outcome.of(200), "{outcome:?}");
        Ok(())
    }
}
