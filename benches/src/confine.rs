//! A share of a processor for one process, as a small Fargate task has it: a cgroup of its own with a quota.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// The kernel's own period, which Fargate has too.
const PERIOD_MICROS: f64 = 100_000.0;

/// A cgroup with a CPU quota. Removed when dropped; its processes must have ended by then.
#[derive(Debug)]
pub struct Confined(PathBuf);

impl Confined {
    /// Moves the process with all its threads into a new cgroup that may use so many processors.
    ///
    /// # Errors
    ///
    /// If cgroups (version 2, or the cpu controller of version 1) may not be written to: only root may.
    pub fn new(process: u32, cpus: f64) -> anyhow::Result<Self> {
        let quota = (cpus * PERIOD_MICROS) as u64;
        let name = format!("task-api-bench-{process}");
        let version_two = Path::new("/sys/fs/cgroup/cgroup.subtree_control");
        let (folder, file, value) = if version_two.exists() {
            // Fails where the controller is on already and processes are in the root, which is no harm.
            let _ = fs::write(version_two, "+cpu");
            (Path::new("/sys/fs/cgroup").join(name), "cpu.max", format!("{quota} {PERIOD_MICROS}"))
        } else if Path::new("/sys/fs/cgroup/cpu/cpu.cfs_quota_us").exists() {
            (Path::new("/sys/fs/cgroup/cpu").join(name), "cpu.cfs_quota_us", quota.to_string())
        } else {
            bail!("no cgroup with a CPU quota on this machine: --cpus 0 leaves the service unconfined");
        };
        fs::create_dir(&folder).context("a cgroup takes root: --cpus 0 leaves the service unconfined")?;
        let confined = Self(folder);
        confined.write(file, &value)?;
        confined.write("cgroup.procs", &process.to_string())?;
        Ok(confined)
    }

    /// The worker threads of a service that is in such a cgroup from its start: it counts its processors by the quota. One that is
    /// moved there later has counted all, and has to be told.
    pub fn workers(cpus: f64) -> (&'static str, String) {
        let all = std::thread::available_parallelism().map_or(1, usize::from);
        ("TOKIO_WORKER_THREADS", (cpus as usize).clamp(1, all).to_string())
    }

    fn write(&self, file: &str, value: &str) -> anyhow::Result<()> {
        fs::write(self.0.join(file), value).with_context(|| format!("{file} of {}", self.0.display()))
    }
}

impl Drop for Confined {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}
