//! User and system time of processes, from proc_pid_stat(5), and the cores that they may run on.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};

/// A process' own time.
pub(crate) fn of(stat: &str) -> anyhow::Result<Duration> {
    ticks(field(stat, 14)? + field(stat, 15)?)
}

/// The time of a process and its children, those that have ended and that it has waited for among them. For PostgreSQL:
/// the server and every backend.
///
/// # Errors
///
/// If the process is gone.
pub fn family(process: u32) -> anyhow::Result<Duration> {
    let stat = stat(&process.to_string())?;
    let mut total = of(&stat)? + ended_children(&stat)?;
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())) else { continue };
        // One that ends meanwhile is counted by its parent, the next time.
        let Ok(stat) = self::stat(name) else { continue };
        if field(&stat, 4)? == u64::from(process) {
            total += of(&stat)?;
        }
    }
    Ok(total)
}

/// The time of this process' children that have ended.
///
/// # Errors
///
/// If `/proc` is not mounted.
pub fn own_ended_children() -> anyhow::Result<Duration> {
    ended_children(&stat("self")?)
}

/// Keeps this process, and all that it starts from now on, to these cores: `0,1`. Call it before any thread is started.
///
/// # Errors
///
/// If there are no such cores, or no taskset, which every Debian has.
pub fn pin(cores: &str) -> anyhow::Result<()> {
    let process = std::process::id().to_string();
    let output = Command::new("taskset").args(["--all-tasks", "--cpu-list", "--pid", cores, &process]).output();
    let output = output.context("taskset, of util-linux, is not installed")?;
    ensure!(output.status.success(), "cores {cores}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

/// This process' own time, with its children that have ended.
///
/// # Errors
///
/// If `/proc` is not mounted.
pub fn own() -> anyhow::Result<Duration> {
    let stat = stat("self")?;
    Ok(of(&stat)? + ended_children(&stat)?)
}

/// What all processors of the machine have done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// Work of anybody.
    pub busy: Duration,
    /// What the host gave to other machines while this one had work.
    pub stolen: Duration,
}

impl Machine {
    /// Until now.
    ///
    /// # Errors
    ///
    /// If `/proc` is not mounted.
    pub fn now() -> anyhow::Result<Self> {
        Self::parse(&std::fs::read_to_string("/proc/stat")?)
    }

    /// The first line of proc_stat(5): user, nice, system, idle, iowait, irq, softirq, steal; guests are in user and nice.
    fn parse(stat: &str) -> anyhow::Result<Self> {
        let line =
            stat.lines().next().and_then(|line| line.strip_prefix("cpu ")).context("no line of all processors")?;
        let fields: Vec<u64> = line.split_ascii_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        let [user, nice, system, _, _, irq, softirq, stolen, ..] = fields[..] else {
            anyhow::bail!("too few fields: {line}");
        };
        Ok(Self { busy: ticks(user + nice + system + irq + softirq)?, stolen: ticks(stolen)? })
    }
}

fn stat(process: &str) -> anyhow::Result<String> {
    Ok(std::fs::read_to_string(format!("/proc/{process}/stat"))?)
}

fn ended_children(stat: &str) -> anyhow::Result<Duration> {
    ticks(field(stat, 16)? + field(stat, 17)?)
}

fn ticks(ticks: u64) -> anyhow::Result<Duration> {
    Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
}

/// A field of proc_pid_stat(5), which counts from 1. The second, the program's name, may hold spaces.
pub(crate) fn field(stat: &str, number: usize) -> anyhow::Result<u64> {
    let (_, after_name) = stat.rsplit_once(") ").context("a process' stat")?;
    let text = after_name.split_ascii_whitespace().nth(number - 3).context("a field of stat")?;
    Ok(text.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_behind_a_name_with_spaces_and_parentheses() {
        let stat = "7 (a) b) R 1 2 3 4 5 6 7 8 9 10 11 12 13 14";
        assert_eq!((field(stat, 4).ok(), field(stat, 14).ok()), (Some(1), Some(11)));
        assert!(field("7", 4).is_err() && field(stat, 99).is_err());
    }

    #[test]
    fn of_the_machine_idle_time_and_waiting_for_the_disk_are_no_work() {
        let stat = "cpu  100 20 30 4000 500 1 2 7 60 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        let tick = 1.0 / rustix::param::clock_ticks_per_second() as f64;
        let machine = Machine::parse(stat).unwrap();
        assert_eq!(machine.busy, Duration::from_secs_f64(153.0 * tick));
        assert_eq!(machine.stolen, Duration::from_secs_f64(7.0 * tick));
        assert!(Machine::parse("cpu  1 2 3\n").is_err());
    }

    #[test]
    fn what_a_child_used_is_counted_while_it_runs_and_when_it_has_ended() -> anyhow::Result<()> {
        let before = family(std::process::id())?;
        let mut child = Command::new("sh").args(["-c", "while :; do :; done"]).spawn()?;
        let deadline = std::time::Instant::now() + Duration::from_secs(30);
        while family(std::process::id())? < before + Duration::from_millis(100) {
            ensure!(std::time::Instant::now() < deadline, "a busy child uses no time");
        }
        let running = family(std::process::id())?;
        child.kill()?;
        child.wait()?;
        assert!(family(std::process::id())? >= running);
        assert!(own_ended_children()? > Duration::ZERO);
        Ok(())
    }
}
