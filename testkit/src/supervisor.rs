//! Starts a PostgreSQL under a small shell that outlives this process just long enough to clean up after it.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// What a cluster is started with.
#[derive(Default)]
pub struct Options {
    /// Lines of `postgresql.conf`; the last of one name wins.
    pub settings: Vec<String>,
    /// Certificate and key, both PEM: the server then takes TLS as well.
    pub tls: Option<(String, String)>,
}

/// The shell that holds one server. Dropping it stops the server and removes its directory; so does the death of
/// this process, because the shell then reads the end of its input.
pub(crate) struct Supervisor {
    shell: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    directory: PathBuf,
}

impl Supervisor {
    /// Makes a cluster with the binaries in `bin`; it is not started yet.
    pub(crate) fn create(bin: &Path, options: &Options) -> Self {
        let tls = options.tls.clone().unwrap_or_default();
        let mut shell = unprivileged()
            .args(["-c", include_str!("supervisor.sh")])
            .env("BIN", bin)
            .env("SETTINGS", options.settings.join("\n"))
            .env("TLS_CERTIFICATE", tls.0)
            .env("TLS_KEY", tls.1)
            .current_dir("/")
            .process_group(0) // Ctrl-C reaches the tests, not the one that cleans up after them
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell starts");
        let commands = shell.stdin.take();
        let answers = BufReader::new(shell.stdout.take().expect("stdout is piped"));
        let mut supervisor = Self { shell, commands, answers, directory: PathBuf::new() };
        let directory = supervisor.answer();
        assert!(directory.starts_with('/'), "initdb failed, its output is above: {directory:?}");
        supervisor.directory = directory.into();
        supervisor
    }

    /// Sends one command of `supervisor.sh` and waits until it is done; false when it failed.
    pub(crate) fn ask(&mut self, command: &str) -> bool {
        let commands = self.commands.as_mut().expect("the supervisor's input is open");
        writeln!(commands, "{command}").expect("the supervisor reads");
        self.answer() == "ok"
    }

    /// Where data, log and socket are.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the supervisor answers");
        line.trim_end().to_owned()
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        drop(self.commands.take());
        let _ = self.shell.wait();
    }
}

/// A shell that PostgreSQL agrees to run under: it refuses root.
fn unprivileged() -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new("sh");
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "sh"]);
    command
}
