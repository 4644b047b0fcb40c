//! A server that cannot outlive the test that started it.

use std::ffi::OsStr;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Holds one server: a shell waits for the end of its input, which no death of this process can prevent, and stops the
/// server then. Its output goes to a file of the given directory, for the message when it does not start.
const HOLD: &str = r#"
log=$1; shift
"$@" >"$log" 2>&1 </dev/null & server=$!
cat >/dev/null
kill "$server" 2>/dev/null
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do kill -0 "$server" 2>/dev/null || exit 0; sleep 0.1; done
kill -9 "$server" 2>/dev/null
"#;

/// A running server; told to end when dropped, and killed 2 s later.
pub struct Held {
    shell: Child,
}

impl Held {
    /// Starts `command` (its program, arguments, variables and directory are taken) with its output in `log`.
    pub fn start(command: &Command, log: &Path) -> Self {
        let mut shell = Command::new("sh");
        shell.args([OsStr::new("-c"), OsStr::new(HOLD), OsStr::new("held"), log.as_os_str()]);
        shell.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        if let Some(directory) = command.get_current_dir() {
            shell.current_dir(directory);
        }
        shell.stdin(Stdio::piped()).stdout(Stdio::null());
        Self { shell: shell.spawn().expect("a shell starts") }
    }

    /// Waits until somebody listens at `address`. Panics with the log when nobody does in time.
    pub fn listens(self, address: SocketAddr, log: &Path, timeout: Duration) -> Self {
        let deadline = Instant::now() + timeout;
        while TcpStream::connect(address).is_err() {
            let output = || std::fs::read_to_string(log).unwrap_or_default();
            assert!(Instant::now() < deadline, "nobody listens at {address} after {timeout:?}\n{}", output());
            std::thread::sleep(POLL_INTERVAL);
        }
        self
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}
