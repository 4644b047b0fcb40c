//! The real binary, as an operator runs it: arguments, environment, signals, exit code, log lines.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::client::Api;

pub use rustix::process::Signal;

const START_TIMEOUT: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// A command line for the binary. Its environment is empty but for `PATH`, both listeners take free ports, and it runs
/// in a temporary directory, where the default SQLite file lands.
pub struct Builder {
    command: Command,
    directory: TempDir,
}

impl Builder {
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
    /// A command line to add to.
    pub fn builder() -> Builder {
        let directory = TempDir::new().expect("a temporary directory");
        let mut command = Command::new(env!("CARGO_BIN_EXE_task-api"));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("LISTEN_ADDR", "127.0.0.1:0").env("ADMIN_ADDR", "127.0.0.1:0");
        command.current_dir(directory.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Builder { command, directory }
    }

    /// A client of the API listener; waits for the service to start.
    pub async fn api(&self) -> Api {
        Api::new(self.address("api").await)
    }

    /// A client of the admin listener; waits for the service to start.
    pub async fn admin(&self) -> Api {
        Api::new(self.address("admin").await)
    }

    async fn address(&self, listener: &str) -> String {
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
