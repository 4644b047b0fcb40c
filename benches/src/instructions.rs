//! Instructions of one whole request, counted by callgrind and compared with the committed figures in `instructions.txt`.
//!
//! Time flickers with whatever else the machine does; instructions do not. What is counted is the program `counted`: one thread
//! serves, all threads count, only the requests are in the counts. Valgrind shows the program a processor of its own, so that
//! the machine's does not choose the code: the same one wherever there is AVX2, and without it counts differ by under 3 %.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use service::store::migrate;
use testkit::postgres::Cluster;

/// The kinds of requests, in the order in which `counted` makes them.
const KINDS: [&str; 3] = ["get", "list", "create"];
/// Requests of each kind that are counted: enough for the average not to move.
const REQUESTS: u64 = 200;
/// How far a count may lie from its committed figure, in percent: further than two runs of one program differ.
const TOLERANCE_PERCENT: f64 = 5.0;
/// How the figures are renewed.
const RENEW: &str = "cargo run -p benches --bin instructions -- --renew";

/// Instructions of one request by its name, as `sqlite get`.
pub type Counts = BTreeMap<String, u64>;

/// Counts, and the compiler that the counted program was built with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// Release, commit and target: another compiler makes other instructions of the same code.
    pub compiler: String,
    /// What was counted.
    pub counts: Counts,
}

/// Where the committed figures stand.
pub fn file() -> PathBuf {
    testkit::root().join("benches/instructions.txt")
}

impl Counted {
    /// Reads what [`Self::to_text`] wrote.
    ///
    /// # Errors
    ///
    /// If a line is none of the file's.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let mut lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let compiler = lines.next().context("the compiler is missing")?.to_owned();
        let count = |line: &str| -> anyhow::Result<(String, u64)> {
            let (name, count) = line.rsplit_once(' ').context("a name and a number")?;
            Ok((name.to_owned(), count.parse()?))
        };
        let counts = lines.map(|line| count(line).with_context(|| format!("what is {line:?}?")));
        Ok(Self { compiler, counts: counts.collect::<anyhow::Result<_>>()? })
    }

    /// The file of the committed figures.
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "# Instructions of one whole request in process, by database and kind, and the compiler that they hold for.\n\
             # Written by: {RENEW}\n{}\n",
            self.compiler
        );
        for (name, count) in &self.counts {
            let _ = writeln!(text, "{name} {count}");
        }
        text
    }

    /// What differs too much from the `committed` figures, a sentence for each; nothing where another compiler made them.
    pub fn differences(&self, committed: &Self) -> Vec<String> {
        if self.compiler != committed.compiler {
            return Vec::new();
        }
        let differences = self.counts.iter().filter_map(|(name, &count)| {
            let Some(&before) = committed.counts.get(name) else {
                return Some(format!(
                    "{name}: {count} instructions for each request, and no committed figure: {RENEW}"
                ));
            };
            let percent = percent(count, before);
            let why = match percent {
                _ if percent.abs() <= TOLERANCE_PERCENT => return None,
                _ if percent > 0.0 => "if it is worth that, renew the figure",
                _ => "well done: renew the figure, so that it stays so",
            };
            Some(format!(
                "{name}: {count} instructions for each request, {before} are committed: {percent:+.1} % is over \
                 {TOLERANCE_PERCENT} %; {why}: {RENEW}"
            ))
        });
        differences.collect()
    }

    /// A table of what was counted beside what is committed.
    pub fn table(&self, committed: &Self) -> String {
        let mut table = "| request | instructions | committed | difference |\n| --- | --- | --- | --- |\n".to_owned();
        for (name, &count) in &self.counts {
            let _ = match committed.counts.get(name) {
                Some(&before) => {
                    writeln!(table, "| {name} | {count} | {before} | {:+.2} % |", percent(count, before))
                }
                None => writeln!(table, "| {name} | {count} | | |"),
            };
        }
        if self.compiler != committed.compiler {
            let _ = writeln!(
                table,
                "\nThe committed figures are those of {}, these of {}: not compared. Renew them: {RENEW}",
                committed.compiler, self.compiler
            );
        }
        table
    }
}

fn percent(count: u64, before: u64) -> f64 {
    (count as f64 - before as f64) * 100.0 / before as f64
}

/// Builds the program, unless one is given, and counts on both databases; only on SQLite where PostgreSQL is not installed. `None`
/// without valgrind.
///
/// # Errors
///
/// If the program cannot be built, or does not answer as it should.
pub async fn count(program: Option<&Path>) -> anyhow::Result<Option<Counted>> {
    let Some(valgrind) = testkit::program("valgrind") else { return Ok(None) };
    let program = program.map_or_else(build, |program| Ok(program.to_owned()))?;
    let directory = tempfile::tempdir()?;
    let url = format!("sqlite://{}", directory.path().join("tasks.db").display());
    let mut counts = callgrind(&valgrind, &program, "sqlite", &url)?;
    if let Some(cluster) = Cluster::get() {
        let database = cluster.create_empty_database();
        migrate::run(&database.url, migrate::Command::Up).await?;
        counts.extend(callgrind(&valgrind, &program, "postgres", &database.url)?);
    } else {
        testkit::skip("PostgreSQL");
    }
    Ok(Some(Counted { compiler: compiler()?, counts }))
}

/// Runs the program under callgrind, which writes its counts at each of the program's marks: before the requests of a kind, and
/// after them.
fn callgrind(valgrind: &Path, program: &Path, database: &str, url: &str) -> anyhow::Result<Counts> {
    let directory = tempfile::tempdir()?;
    let output = Command::new(valgrind)
        .args(["--tool=callgrind", "--callgrind-out-file=out", "--dump-before=counted::mark"])
        .arg(program)
        .args(["--database-url", url, "--requests", &REQUESTS.to_string()])
        .current_dir(directory.path())
        .env_clear()
        .stdin(Stdio::null())
        .output()?;
    ensure!(
        output.status.success(),
        "{} on {database}: {}",
        program.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    let kinds = KINDS.iter().enumerate().map(|(at, kind)| -> anyhow::Result<(String, u64)> {
        // The dumps count from one, and the first of each pair holds what came before.
        let dump = std::fs::read_to_string(directory.path().join(format!("out.{}", 2 * at + 2)))?;
        let total = dump.lines().find_map(|line| line.strip_prefix("summary: "));
        let total: u64 = total.context("callgrind's total")?.trim().parse()?;
        Ok((format!("{database} {kind}"), total / REQUESTS))
    });
    kinds.collect()
}

/// Builds `counted` in the tests' own target folder, with the crates of the hot path optimised as `counted.toml` says: all others
/// are those that the tests have built already.
fn build() -> anyhow::Result<PathBuf> {
    let output = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--locked", "--workspace", "--bin", "counted", "--config", "benches/counted.toml"])
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(testkit::root())
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "the build of `counted` failed, its errors are above");
    let messages = output.stdout.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    let executables = messages.filter(|message: &Value| message["target"]["name"] == "counted");
    let mut paths = executables.filter_map(|message| message["executable"].as_str().map(PathBuf::from));
    paths.next_back().context("cargo names the program that it built")
}

/// The release, commit and target of the compiler.
fn compiler() -> anyhow::Result<String> {
    let output = Command::new("rustc").arg("-vV").current_dir(testkit::root()).output()?;
    let text = String::from_utf8(output.stdout)?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    match (text.lines().next(), host) {
        (Some(release), Some(host)) => Ok(format!("{release} {host}")),
        _ => bail!("rustc does not say what it is"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(get: u64) -> Counted {
        let counts = [("sqlite get".to_owned(), get), ("sqlite list".to_owned(), 1_000)];
        Counted { compiler: "rustc 1.0.0 x86_64".to_owned(), counts: counts.into() }
    }

    #[test]
    fn the_file_holds_what_was_counted() {
        let counted = counted(100_000);
        assert_eq!(Counted::parse(&counted.to_text()).ok(), Some(counted));
        assert!(Counted::parse("rustc\nsqlite get many").is_err());
    }

    #[test]
    fn five_percent_more_or_fewer_pass_and_a_little_over_does_not() {
        let committed = counted(100_000);
        for (get, passes) in [(105_000, true), (105_001, false), (95_000, true), (94_999, false)] {
            assert_eq!(counted(get).differences(&committed).is_empty(), passes, "{get}");
        }
    }

    #[test]
    fn a_difference_names_the_request_both_figures_the_share_and_the_command() {
        let messages = counted(108_000).differences(&counted(100_000));
        let message = messages.join("\n");
        for part in ["sqlite get", "108000", "100000", "+8.0 %", "--bin instructions -- --renew"] {
            assert!(message.contains(part), "{part} is missing in {message}");
        }
        assert_eq!(messages.len(), 1);
    }

    #[test]
    fn another_compilers_figures_are_shown_and_not_compared() {
        let committed = Counted { compiler: "rustc 0.9.0 x86_64".to_owned(), ..counted(100_000) };
        assert!(counted(200_000).differences(&committed).is_empty());
        let table = counted(200_000).table(&committed);
        assert!(table.contains("+100.00 %") && table.contains("not compared"), "{table}");
    }

    #[test]
    fn a_request_without_a_committed_figure_is_a_difference() {
        let mut committed = counted(100_000);
        committed.counts.remove("sqlite list");
        assert_eq!(counted(100_000).differences(&committed).len(), 1);
    }
}
