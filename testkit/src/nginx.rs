//! A real nginx of the test's own: the load balancer in front of the service, which ends TLS, redirects, answers in its place,
//! or breaks.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::held::Held;

const START_TIMEOUT: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// So often in a row the new blocks answer before they are believed to be alone.
const SEEN_MIN: u32 = 5;
const SOCKET: &str = "generation.sock";

/// A running server.
pub struct Nginx {
    program: PathBuf,
    _server: Held,
    directory: TempDir,
    generation: AtomicU32,
}

impl Nginx {
    /// Starts one with these `server` blocks, and waits until it listens at `address`, which must be one of theirs. They find
    /// certificates and other files in `directory`, by names without a path. `None` where nginx is not installed: the caller
    /// skips.
    pub fn start(directory: TempDir, servers: &str, address: SocketAddr) -> Option<Self> {
        // Debian keeps it where only root's path leads.
        let program =
            crate::program("nginx").or_else(|| Some(PathBuf::from("/usr/sbin/nginx")).filter(|at| at.is_file()));
        let Some(program) = program else {
            crate::skip("nginx");
            return None;
        };
        write(directory.path(), servers, 0);
        let (mut command, log) = (Command::new(&program), directory.path().join("log"));
        command.args(arguments(directory.path()));
        let server = Held::start(&command, &log).listens(address, &log, START_TIMEOUT);
        Some(Self { program, _server: server, directory, generation: AtomicU32::new(0) })
    }

    /// Takes other blocks in place of those it has, and waits until they serve.
    pub fn reload(&self, servers: &str) {
        let generation = self.generation.fetch_add(1, Relaxed) + 1;
        write(self.directory.path(), servers, generation);
        let output = Command::new(&self.program).args(arguments(self.directory.path())).args(["-s", "reload"]).output();
        let output = output.expect("nginx starts");
        assert!(output.status.success(), "{}\n{servers}", String::from_utf8_lossy(&output.stderr));
        let deadline = Instant::now() + START_TIMEOUT;
        let mut seen = 0; // the old workers go on accepting for a moment after the new ones have begun
        while seen < SEEN_MIN {
            assert!(Instant::now() < deadline, "nginx does not take its new blocks\n{servers}");
            seen = if self.asked() == Some(generation) { seen + 1 } else { 0 };
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// Which blocks a worker serves.
    fn asked(&self) -> Option<u32> {
        let mut stream = UnixStream::connect(self.directory.path().join(SOCKET)).ok()?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.rsplit("\r\n").next()?.parse().ok()
    }

    /// Where the files of its blocks are.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

fn arguments(directory: &Path) -> [String; 4] {
    let (prefix, config) = (directory.display().to_string(), directory.join("nginx.conf").display().to_string());
    ["-p".into(), prefix, "-c".into(), config]
}

fn write(directory: &Path, servers: &str, generation: u32) {
    // Its workers would otherwise become a user who cannot read the directory; it refuses the line from anybody but root.
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let socket = directory.join(SOCKET);
    let socket = socket.display();
    let config = format!(
        "daemon off; {user} worker_processes 1; pid nginx.pid; error_log stderr warn;\n\
         worker_shutdown_timeout 1s; events {{ worker_connections 256; }}\n\
         http {{\naccess_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;\n\
         uwsgi_temp_path uwsgi; scgi_temp_path scgi;\n\
         server {{ listen unix:{socket}; return 200 '{generation}'; }}\n{servers}\n}}\n"
    );
    fs::write(directory.join("nginx.conf"), config).expect("a file of nginx");
}
