//! The service as a process of its own: started, measured from outside, told to end.

use std::io::Read as _;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::cpu;

const START_TIMEOUT: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// What one read of the service's output takes: as much as a pipe holds.
const CHUNK_BYTES: usize = 64 * 1024;

/// A running service; killed when dropped, and by the kernel should this process die.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Its API.
    pub api: SocketAddr,
    /// Its metrics and health.
    pub admin: SocketAddr,
    lines: Arc<AtomicU64>,
}

impl Server {
    /// Starts `program` with nothing but `environment` in its environment, and waits until it accepts connections. Its
    /// standard output is a pipe that is read to nowhere, as a container's runtime reads it to somewhere.
    ///
    /// # Errors
    ///
    /// If it cannot start or does not listen in time.
    pub fn start(program: &Path, arguments: &[&str], environment: &[(&str, String)]) -> anyhow::Result<Self> {
        let mut server = Self::spawn(program, arguments, environment)?;
        server.until(POLL_INTERVAL, |server| TcpStream::connect(server.api).is_ok())?;
        Ok(server)
    }

    /// The same without waiting.
    ///
    /// # Errors
    ///
    /// If it cannot start.
    pub fn spawn(program: &Path, arguments: &[&str], environment: &[(&str, String)]) -> anyhow::Result<Self> {
        let (api, admin) = (testkit::free_address(), testkit::free_address());
        // Without setpriv, which every Debian has, a killed benchmark would leave its servers behind.
        let mut command = match testkit::program("setpriv") {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "KILL"]).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.args(arguments).env_clear().envs(environment.iter().map(|(name, value)| (name, value)));
        command.env("LISTEN_ADDR", api.to_string()).env("ADMIN_ADDR", admin.to_string());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("the service starts")?;
        let mut output = child.stdout.take().context("its output is piped")?;
        let lines = Arc::<AtomicU64>::default();
        let counted = Arc::clone(&lines);
        std::thread::spawn(move || {
            let mut chunk = vec![0; CHUNK_BYTES];
            while let Ok(bytes @ 1..) = output.read(&mut chunk) {
                let ends = chunk[..bytes].iter().filter(|byte| **byte == b'\n').count();
                counted.fetch_add(ends as u64, Relaxed);
            }
        });
        Ok(Self { child, api, admin, lines })
    }

    /// Waits until something holds, looking this often.
    ///
    /// # Errors
    ///
    /// If the process ends before, or 30 seconds pass.
    pub fn until(&mut self, interval: Duration, holds: impl Fn(&Self) -> bool) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        while !holds(self) {
            if let Some(status) = self.child.try_wait()? {
                bail!("the service ended with {status} before it served");
            }
            anyhow::ensure!(Instant::now() < deadline, "the service does not serve at {}", self.api);
            wait(interval);
        }
        Ok(())
    }

    /// User and system time so far. The kernel scales both to what its scheduler has measured, so only a tick (10 ms) is
    /// lost at each end.
    ///
    /// # Errors
    ///
    /// If the process is gone.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        cpu::of(&self.stat()?)
    }

    /// Bytes of memory that it holds.
    ///
    /// # Errors
    ///
    /// If the process is gone.
    pub fn resident_bytes(&self) -> anyhow::Result<u64> {
        Ok(cpu::field(&self.stat()?, 24)? * rustix::param::page_size() as u64)
    }

    /// The id of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Lines that it has written to standard output.
    pub fn lines(&self) -> u64 {
        self.lines.load(Relaxed)
    }

    /// Tells it to end, and waits for that; returns how it ended and how long that took.
    ///
    /// # Errors
    ///
    /// If it still runs after `timeout`.
    pub fn stop(&mut self, timeout: Duration) -> anyhow::Result<(ExitStatus, Duration)> {
        let asked = Instant::now();
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok((status, asked.elapsed()));
            }
            anyhow::ensure!(asked.elapsed() < timeout, "still running {timeout:?} after SIGTERM");
            wait(POLL_INTERVAL);
        }
    }

    fn stat(&self) -> anyhow::Result<String> {
        Ok(std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits before another look.
#[expect(clippy::disallowed_methods, reason = "a thread of the benchmark's own, which nothing else runs on")]
fn wait(duration: Duration) {
    std::thread::sleep(duration);
}
