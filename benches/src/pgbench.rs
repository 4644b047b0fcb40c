//! The reference: pgbench, which runs the service's own SQL, prepared, over TCP.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tempfile::NamedTempFile;

use crate::cpu;

/// A database, and how it is asked.
#[derive(Debug, Clone)]
pub struct Pgbench {
    /// The program.
    pub program: PathBuf,
    /// The server.
    pub address: SocketAddr,
    /// The database's name.
    pub database: String,
    /// Connections, each with one statement at a time.
    pub clients: usize,
    /// Threads of the client.
    pub threads: usize,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// Transactions, all of which succeeded.
    pub transactions: u64,
    /// A second, without the time to connect.
    pub per_second: f64,
    /// What the client took, to start and to connect included.
    pub client_cpu: Duration,
}

impl Pgbench {
    /// Runs a script for so long. `variables` are known to it as `:name`. Blocks.
    ///
    /// # Errors
    ///
    /// If it fails, or one of its transactions does.
    pub fn run(&self, script: &str, variables: &[(&str, &str)], duration: Duration) -> anyhow::Result<Outcome> {
        let mut file = NamedTempFile::new()?;
        file.write_all(script.as_bytes())?;
        let mut command = Command::new(&self.program);
        command.args(["--no-vacuum", "--protocol=prepared", "--username=postgres"]);
        command.args(["--host", &self.address.ip().to_string(), "--port", &self.address.port().to_string()]);
        command.args(["--client", &self.clients.to_string(), "--jobs", &self.threads.to_string()]);
        command.args(["--time", &duration.as_secs().max(1).to_string()]);
        command.args(variables.iter().map(|(name, value)| format!("--define={name}={value}")));
        command.arg("--file").arg(file.path()).arg(&self.database);
        let before = cpu::own_ended_children()?;
        let output = command.output().context("pgbench starts")?;
        let client_cpu = cpu::own_ended_children()?.saturating_sub(before);
        let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "pgbench: {errors}\n{script}");
        let (transactions, per_second) = parse(&text).with_context(|| format!("pgbench: {text}{errors}"))?;
        Ok(Outcome { transactions, per_second, client_cpu })
    }
}

/// Transactions and transactions per second of pgbench's report, where none failed.
fn parse(report: &str) -> anyhow::Result<(u64, f64)> {
    let value = |name: &str| {
        let rest = report.lines().find_map(|line| line.strip_prefix(name));
        let word = rest.and_then(|rest| rest.split([' ', '/']).next());
        word.with_context(|| format!("no line {name:?}"))
    };
    let failed: u64 = value("number of failed transactions: ")?.parse()?;
    ensure!(failed == 0, "{failed} transactions failed");
    let transactions = value("number of transactions actually processed: ")?.parse()?;
    Ok((transactions, value("tps = ")?.parse()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "pgbench (15.18)\ntransaction type: /tmp/x\nscaling factor: 1\nquery mode: prepared\n\
        number of clients: 8\nnumber of threads: 1\nmaximum number of tries: 1\nduration: 4 s\n\
        number of transactions actually processed: 162450\nnumber of failed transactions: 0 (0.000%)\n\
        latency average = 0.197 ms\ninitial connection time = 12.345 ms\n\
        tps = 40612.123456 (without initial connection time)\n";

    #[test]
    fn a_report_gives_transactions_and_their_rate() {
        assert_eq!(parse(REPORT).unwrap(), (162_450, 40_612.123_456));
    }

    #[test]
    fn a_report_of_failures_is_no_figure() {
        let failed = REPORT.replace("transactions: 0 (", "transactions: 3 (");
        assert!(parse(&failed).unwrap_err().to_string().contains("3 transactions failed"));
        assert!(parse("tps = 1 (x)").is_err());
    }
}
