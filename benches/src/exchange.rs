//! One request and its answer over a connection of its own, for what is prepared before something is measured.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;

/// Longer than the service lets any request take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Sends `body`, or nothing where it is null, and returns the status and the answer's JSON; null where it is none.
///
/// # Errors
///
/// If nobody listens, or what comes back is no HTTP.
pub fn exchange(
    address: SocketAddr,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: &Value,
) -> anyhow::Result<(u16, Value)> {
    let (status, text) = exchange_text(address, method, path, token, body)?;
    Ok((status, serde_json::from_str(&text).unwrap_or_default()))
}

/// The same with the answer's body as it came.
///
/// # Errors
///
/// As [`exchange`].
pub fn exchange_text(
    address: SocketAddr,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: &Value,
) -> anyhow::Result<(u16, String)> {
    let authorization = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{authorization}\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    let mut stream = TcpStream::connect(address).with_context(|| format!("nobody listens at {address}"))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no status")?;
    Ok((status, body.to_owned()))
}

/// As [`exchange`], where anything but `status` is a failure.
///
/// # Errors
///
/// As [`exchange`], and for any other status.
pub fn expect(
    status: u16,
    address: SocketAddr,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: &Value,
) -> anyhow::Result<Value> {
    let (got, answer) = exchange(address, method, path, token, body)?;
    ensure!(got == status, "{method} {path}: {got} instead of {status}: {answer}");
    Ok(answer)
}

/// The sum of the samples of a scrape whose line begins so.
pub fn metric(exposition: &str, start: &str) -> f64 {
    let lines = exposition.lines().filter(|line| line.starts_with(start));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_one_metric_are_added_whatever_their_labels() {
        let text = "# TYPE a counter\na_total{x=\"1\"} 2\na_total{x=\"2\"} 3.5\nb 7\n";
        assert_eq!((metric(text, "a_total"), metric(text, "a_total{x=\"2\"}"), metric(text, "c")), (5.5, 3.5, 0.0));
    }
}
