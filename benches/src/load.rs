//! A load of keep-alive connections that costs little: requests are copied from a script, of the answer only status and length
//! are read.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::script::{Random, Script};

/// The longest answer that is expected, header and body.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// Who is asked what, and how hard.
#[derive(Debug, Clone)]
pub struct Load {
    /// The listener.
    pub address: SocketAddr,
    /// What is sent: the first connection takes the first of them, and so on, in turn. One at least.
    pub scripts: Vec<Script>,
    /// The status that every answer must have.
    pub status: u16,
    /// Connections side by side, each with one request at a time.
    pub connections: usize,
    /// Requests a second over all connections, each at its moment; as many as are answered when absent.
    pub rate: Option<f64>,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Requests that were answered, with the status that was asked for.
    pub answered: u64,
    /// From the first to the last.
    pub elapsed: Duration,
    /// Each answer's time in microseconds; with a rate, from the moment at which its request was due.
    pub micros: Vec<u32>,
}

/// How much longer than its time a load may take, as a factor, before it was not at its rate.
const OVERRUN_MAX: f64 = 1.02;

impl Outcome {
    /// Whether a load with a rate was at this rate to the end. Each connection works through all that is due, however late:
    /// one that cannot keep up makes as many requests, in more time.
    ///
    /// # Errors
    ///
    /// If it took over 2 % longer than `duration`, with what it took.
    pub fn ensure_on_time(&self, duration: Duration) -> anyhow::Result<()> {
        let (took, time) = (self.elapsed.as_secs_f64(), duration.as_secs_f64());
        let rate = self.per_second();
        ensure!(
            took <= time * OVERRUN_MAX,
            "{time:.1} s of load took {took:.1} s: {rate:.0} requests/s, not those asked for"
        );
        Ok(())
    }

    /// Answers a second.
    pub fn per_second(&self) -> f64 {
        self.answered as f64 / self.elapsed.as_secs_f64()
    }
}

impl Load {
    /// A GET with a token, where there is one.
    pub fn get(address: SocketAddr, path: &str, token: Option<&str>, connections: usize) -> Self {
        Self { address, scripts: vec![Script::get(path, token)], status: 200, connections, rate: None }
    }

    /// Sends for so long. Run it on a runtime of one thread: it then takes at most one core.
    ///
    /// # Errors
    ///
    /// If a connection breaks or an answer has another status: figures of failures would be worth nothing.
    pub async fn run(&self, duration: Duration) -> anyhow::Result<Outcome> {
        let start = Instant::now();
        let mut connections = JoinSet::new();
        for number in 0..self.connections {
            let load = self.clone();
            connections.spawn(async move { load.connection(number, start, duration).await });
        }
        let mut outcome = Outcome::default();
        while let Some(of_connection) = connections.join_next().await {
            let of_connection = of_connection??;
            outcome.answered += of_connection.len() as u64;
            outcome.micros.extend(of_connection);
        }
        outcome.elapsed = start.elapsed();
        Ok(outcome)
    }

    async fn connection(&self, number: usize, start: Instant, duration: Duration) -> anyhow::Result<Vec<u32>> {
        let mut stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (mut answer, mut micros) = (Vec::with_capacity(4096), Vec::new());
        let script = self.scripts.get(number % self.scripts.len().max(1)).context("a load without a script")?;
        let (mut request, mut random) = (Vec::with_capacity(1024), Random::new(number as u64));
        let status = format!("HTTP/1.1 {} ", self.status);
        for turn in 0_u64.. {
            let slot = turn * self.connections as u64 + number as u64;
            let due = self.rate.map(|rate| Duration::from_secs_f64(slot as f64 / rate));
            if due.unwrap_or_else(|| start.elapsed()) >= duration {
                break;
            }
            if let Some(due) = due {
                tokio::time::sleep_until((start + due).into()).await;
            }
            let sent = due.map_or_else(Instant::now, |due| start + due);
            script.write(&mut request, &mut random);
            stream.write_all(&request).await?;
            read_answer(&mut stream, &mut answer, &status).await?;
            micros.push(u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX));
        }
        Ok(micros)
    }
}

/// Reads one whole answer and forgets it.
async fn read_answer(stream: &mut TcpStream, answer: &mut Vec<u8>, status: &str) -> anyhow::Result<()> {
    answer.clear();
    loop {
        ensure!(stream.read_buf(answer).await? > 0, "the connection ended");
        ensure!(answer.len() <= ANSWER_BYTES_MAX, "an endless answer");
        if let Some(end) = end_of_answer(answer, status)?
            && answer.len() >= end
        {
            return Ok(());
        }
    }
}

/// Where the answer ends, once its head is here.
fn end_of_answer(answer: &[u8], expected: &str) -> anyhow::Result<Option<usize>> {
    let Some((_, end)) = status_and_end(answer)? else { return Ok(None) };
    let line = || String::from_utf8_lossy(answer.split(|byte| *byte == b'\r').next().unwrap_or_default()).into_owned();
    ensure!(answer.starts_with(expected.as_bytes()), "not {expected}: {}", line());
    Ok(Some(end))
}

/// The status of an answer and where it ends, once its head is here. Its length is known beforehand: nothing is compressed for us.
pub(crate) fn status_and_end(answer: &[u8]) -> anyhow::Result<Option<(u16, usize)>> {
    let Some(head) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&answer[..head])?;
    let status = text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).context("no HTTP answer")?;
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")).context("no length")?;
    Ok(Some((status.parse()?, head + 4 + length.parse::<usize>()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers each request after so long, one connection at a time.
    async fn serve(delay: Duration) -> std::io::Result<SocketAddr> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 1024];
                while stream.read(&mut request).await.is_ok_and(|length| length > 0) {
                    tokio::time::sleep(delay).await;
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
                }
            }
        });
        Ok(address)
    }

    #[tokio::test]
    async fn a_load_that_falls_behind_its_rate_says_so() -> anyhow::Result<()> {
        let duration = Duration::from_secs(2);
        // Ten requests a second over one connection: 20 answers that take 5 ms each are in time, 20 of 150 ms take 3 s.
        for (delay, on_time) in [(5, true), (150, false)] {
            let address = serve(Duration::from_millis(delay)).await?;
            let outcome = Load { rate: Some(10.0), ..Load::get(address, "/", None, 1) }.run(duration).await?;
            assert_eq!(outcome.answered, 20, "it makes all its requests, late or not");
            assert_eq!(outcome.ensure_on_time(duration).is_ok(), on_time, "{:?}", outcome.elapsed);
        }
        Ok(())
    }

    #[test]
    fn an_answer_ends_where_its_length_says_and_must_have_the_status() {
        let answer = b"HTTP/1.1 200 OK\r\nx: y\r\ncontent-length: 5\r\n\r\nhello";
        let end = |answer: &[u8]| end_of_answer(answer, "HTTP/1.1 200 ");
        assert_eq!(end(answer).ok().flatten(), Some(answer.len()));
        assert_eq!(end(&answer[..20]).ok(), Some(None), "its head is not here yet");
        assert!(end(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n").is_err());
        assert!(end(b"HTTP/1.1 200 OK\r\n\r\n").is_err(), "without a length it would never end");
    }
}
