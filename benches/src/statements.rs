//! The SQL that the service runs for a request, from PostgreSQL's own log: what a reference must run too.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use testkit::postgres::Cluster;

/// What sessions take to notice a changed setting, and the log to be written.
const SETTLE: Duration = Duration::from_millis(300);

/// The one statement that `request` makes the service run, with its parameters as `$1`, `$2` and so on.
///
/// # Errors
///
/// If it fails, if it runs more or fewer statements, or the server's log cannot be read.
pub async fn of(cluster: &Cluster, request: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<String> {
    let log = cluster.directory().join("log");
    let mut log = std::fs::File::open(&log).with_context(|| format!("cannot read {}", log.display()))?;
    set(cluster, "SET log_statement = 'all'").await;
    log.seek(SeekFrom::End(0))?;
    let done = request();
    tokio::time::sleep(SETTLE).await;
    let mut text = String::new();
    log.read_to_string(&mut text)?;
    set(cluster, "RESET log_statement").await;
    done?;
    let mut found = executed(&text);
    ensure!(found.len() == 1, "one request, {} statements: {found:#?}", found.len());
    found.pop().context("one statement")
}

async fn set(cluster: &Cluster, what: &str) {
    cluster.psql("postgres", &format!("ALTER SYSTEM {what}"));
    cluster.psql("postgres", "SELECT pg_reload_conf()");
    tokio::time::sleep(SETTLE).await;
}

/// Statements that a log has as executed, those of the extended protocol.
fn executed(log: &str) -> Vec<String> {
    let executed = log.lines().filter_map(|line| line.split_once("LOG:  execute "));
    executed.filter_map(|(_, rest)| rest.split_once(": ")).map(|(_, sql)| sql.to_owned()).collect()
}

/// The statement with each `$n` replaced by the n-th of `values`.
///
/// # Errors
///
/// If a parameter has no value, or a value no parameter.
pub fn bind(sql: &str, values: &[&str]) -> anyhow::Result<String> {
    let mut pieces = sql.split('$');
    let mut bound = pieces.next().unwrap_or_default().to_owned();
    let mut used = vec![false; values.len()];
    for piece in pieces {
        let digits = piece.bytes().take_while(u8::is_ascii_digit).count();
        let number: usize = piece[..digits].parse().with_context(|| format!("no parameter: ${piece}"))?;
        let at = number.checked_sub(1).filter(|at| *at < values.len());
        let at = at.with_context(|| format!("no value for ${number} of {sql}"))?;
        used[at] = true;
        bound.push_str(values[at]);
        bound.push_str(&piece[digits..]);
    }
    ensure!(used.iter().all(|used| *used), "{} values for fewer parameters: {sql}", values.len());
    Ok(bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_parameter_takes_its_value_wherever_it_stands_and_ten_is_not_one() {
        let values: Vec<String> = (1..=10).map(|n| format!(":v{n}")).collect();
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let sql = "SELECT $2, $3, $4, $5, $6, $7, $8, $9 WHERE a = $10 AND ($10::uuid IS NULL OR b = $1)";
        let bound = bind(sql, &values).unwrap();
        assert!(bound.ends_with("WHERE a = :v10 AND (:v10::uuid IS NULL OR b = :v1)"), "{bound}");
        assert!(!bound.contains('$'));
    }

    #[test]
    fn a_statement_that_takes_more_or_less_than_the_reference_knows_is_refused() {
        assert!(bind("SELECT $1, $2", &["1"]).is_err());
        assert!(bind("SELECT $1", &["1", "2"]).is_err());
        assert!(bind("SELECT $0", &["1"]).is_err());
        assert!(bind("SELECT '$'", &[]).is_err());
    }

    #[test]
    fn of_a_log_only_what_was_executed_is_a_statement() {
        let log = "2026-11-20 20:00:00.000 UTC [7] LOG:  execute s1: SELECT a::text FROM b WHERE c = $1\n\
                   2026-11-20 20:00:00.000 UTC [7] DETAIL:  parameters: $1 = 'execute: me'\n\
                   2026-11-20 20:00:00.000 UTC [8] LOG:  statement: SELECT 1\n";
        assert_eq!(executed(log), ["SELECT a::text FROM b WHERE c = $1"]);
    }
}
