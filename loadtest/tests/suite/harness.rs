//! The tool as a process, and what it leaves in its folder.

use std::path::{Path, PathBuf};
use std::time::Duration;

use loadtest::fixture::{Fault, Fixture};
use serde_json::Value;
use testkit::process::{Builder, Process};
use tokio::sync::{Mutex, MutexGuard};

/// One measurement at a time: two would measure each other.
static MACHINE: Mutex<()> = Mutex::const_new(());

/// The machine, for one test alone.
pub(crate) async fn machine() -> MutexGuard<'static, ()> {
    MACHINE.lock().await
}

/// The tool, with the objectives of this repository.
pub(crate) fn tool(arguments: &[&str]) -> Builder {
    first(Path::new(env!("CARGO_BIN_EXE_loadtest")), arguments)
}

/// A program that goes before whatever else runs here, where the system allows it: a machine that compiles would make every
/// run INVALID, and rightly. It is a session of its own because Linux shares the processor among sessions before it looks at
/// niceness. A real-time priority would go before all too, but lets equals wait for each other: the pacer for a server that is
/// built in.
pub(crate) fn first(program: &Path, arguments: &[&str]) -> Builder {
    const FIRST: &str = "echo -20 2>/dev/null >/proc/self/autogroup; exec \"$@\"";
    let builder = match testkit::program("setsid") {
        Some(setsid) => {
            Builder::new(setsid).arg("sh").arg("-c").arg(FIRST).arg("sh").arg(&program.display().to_string())
        }
        None => Builder::new(program),
    };
    arguments.iter().fold(builder, |builder, argument| builder.arg(argument))
}

/// The path of the objectives.
pub(crate) fn slo() -> String {
    testkit::root().join("slo.toml").display().to_string()
}

/// The exit code and all output of a run of the tool.
pub(crate) async fn finished(mut process: Process) -> (i32, String, tempfile::TempDir) {
    let status = process.wait(Duration::from_secs(100)).await;
    let output = process.output();
    let directory = std::mem::replace(&mut process.directory, tempfile::TempDir::new().expect("a directory"));
    (status.code().expect("an exit code"), output, directory)
}

/// Runs the tool to its end.
pub(crate) async fn run(arguments: &[&str]) -> (i32, String, tempfile::TempDir) {
    finished(tool(arguments).start()).await
}

/// A short run against a server, with reports in `report` of its directory.
pub(crate) fn short<'a>(host: &'a str, slo: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["run", "--host", host, "--slo", slo, "--report-dir", "report"];
    for (flag, value) in [("--duration", "3s"), ("--warm-up", "500ms"), ("--window", "1s"), ("--metrics-url", "none")] {
        if !more.contains(&flag) {
            arguments.extend([flag, value]);
        }
    }
    // No test waits until the objective's rate has enough samples of all.
    if more.contains(&"--rate") {
        arguments.push("--below-objective");
    }
    arguments.extend(more);
    arguments
}

/// A built-in server, and the profile that it can answer.
pub(crate) fn fixture(fault: Fault) -> (Fixture, String) {
    let profile = testkit::root().join("loadtest/profiles/self-test.toml").display().to_string();
    (Fixture::start(fault).expect("a port and a thread"), profile)
}

/// The objectives of the tests.
pub(crate) fn objectives() -> slo::Slo {
    slo::Slo::read(Path::new(&slo())).expect("objectives")
}

/// The result of a run.
pub(crate) fn result(directory: &Path) -> Value {
    let path = directory.join("report/result.json");
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).expect("JSON")
}

/// The rules of a result with this name.
pub(crate) fn rules<'a>(result: &'a Value, name: &str) -> Vec<&'a Value> {
    let rules = result["rules"].as_array().expect("rules");
    rules.iter().filter(|rule| rule["name"].as_str().is_some_and(|is| is.starts_with(name))).collect()
}

/// Notes of runs that have left something.
pub(crate) fn leftovers(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory.join("report/leftovers"));
    entries.map(|entries| entries.flatten().map(|entry| entry.path()).collect()).unwrap_or_default()
}
