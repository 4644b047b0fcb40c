//! A program of the workspace, as an operator runs it: arguments, environment, signals, exit code, log lines.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, kill_process};
use serde_json::Value;
use tempfile::TempDir;

pub use rustix::process::Signal;

const START_TIMEOUT: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// A command line. Its environment is empty but for `PATH`, and it runs in a temporary directory.
pub struct Builder {
    command: Command,
    directory: TempDir,
}

impl Builder {
    /// A command line of this program.
    pub fn new(program: impl AsRef<Path>) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let mut command = Command::new(program.as_ref());
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.current_dir(directory.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command, directory }
    }

    /// `task-api` with both listeners on free ports: built if need be, so that any crate's tests can start it. Without
    /// further settings it keeps its tasks in a SQLite file of its directory.
    pub fn task_api() -> Self {
        Self::new(binary("task-api")).env("LISTEN_ADDR", "127.0.0.1:0").env("ADMIN_ADDR", "127.0.0.1:0")
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: &str) -> Self {
        self.command.arg(argument);
        self
    }

    /// Sets a variable.
    pub fn env(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.command.env(name, value.as_ref());
        self
    }

    /// Starts it; it may not serve yet.
    pub fn start(mut self) -> Process {
        let mut child = self.command.spawn().expect("the binary starts");
        let (stdout, stderr) = (Lines::default(), Lines::default());
        stdout.collect(child.stdout.take().expect("stdout is piped"));
        stderr.collect(child.stderr.take().expect("stderr is piped"));
        Process { child, stdout, stderr, directory: self.directory }
    }

    /// Starts it and waits until it says that it serves.
    pub async fn serve(self) -> Process {
        let process = self.start();
        process.log("started").await;
        process
    }
}

/// A started binary; killed when dropped.
pub struct Process {
    child: Child,
    stdout: Lines,
    stderr: Lines,
    /// Its working directory.
    pub directory: TempDir,
}

impl Process {
    /// The address of a listener, `api` or `admin`, as `http://…`; waits for the service to start.
    pub async fn address(&self, listener: &str) -> String {
        let line = self.log("started").await;
        line[listener].as_str().unwrap_or_else(|| panic!("no field {listener} in {line}")).to_owned()
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("the process takes a signal");
    }

    /// Kills it as the kernel does when memory runs out, and waits until it is gone.
    pub fn kill9(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for the end. Panics with all it wrote when that takes longer.
    pub async fn wait(&mut self, timeout: Duration) -> ExitStatus {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                self.stdout.finish().await; // the last lines may still be on their way
                self.stderr.finish().await;
                return status;
            }
            assert!(Instant::now() < deadline, "still running after {timeout:?}\n{}", self.output());
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Waits for the first log line with this `event`. Panics with all it wrote when none comes.
    pub async fn log(&self, event: &str) -> Value {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let ended = self.stdout.ended(); // asked first: lines written before the end are then all there
            if let Some(line) = self.logs().into_iter().find(|line| line["event"] == event) {
                return line;
            }
            assert!(!ended && Instant::now() < deadline, "no line with event {event:?}\n{}", self.output());
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// The lines on stdout so far, parsed; one that is not JSON is a string.
    pub fn logs(&self) -> Vec<Value> {
        let parse = |line: String| serde_json::from_str(&line).unwrap_or(Value::String(line));
        self.stdout.so_far().into_iter().map(parse).collect()
    }

    /// All that it wrote so far, stdout then stderr.
    pub fn output(&self) -> String {
        [self.stdout.so_far(), self.stderr.so_far()].concat().join("\n")
    }

    /// The lines on stderr so far.
    pub fn errors(&self) -> Vec<String> {
        self.stderr.so_far()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill9();
    }
}

/// Lines that a thread collects; it holds a second reference until the stream ends.
#[derive(Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn collect(&self, stream: impl Read + Send + 'static) {
        let lines = Arc::clone(&self.0);
        std::thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
    }

    fn so_far(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn ended(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    async fn finish(&self) {
        while !self.ended() {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

/// The path of a binary of this workspace in the profile of the running test, built by Cargo where it is not up to date. Cargo is
/// asked once in each test process: it takes a second to say that nothing has changed.
pub fn binary(name: &str) -> PathBuf {
    static BUILT: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    built.entry(name.to_owned()).or_insert_with(|| build(name)).clone()
}

fn build(name: &str) -> PathBuf {
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    // Of the workspace, as the tests are built: for one package alone the dependencies have other features, and would be compiled
    // once more.
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "--locked", "--workspace", "--bin", name, "--profile", profile])
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(crate::root())
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "cargo build --bin {name} failed, its errors are above");
    let messages = output.stdout.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    let executables = messages.filter(|message: &Value| message["target"]["name"] == name);
    let mut paths = executables.filter_map(|message| message["executable"].as_str().map(PathBuf::from));
    paths.next_back().expect("cargo names the binary that it built")
}
