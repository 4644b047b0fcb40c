//! The generator watches itself: a verdict of one that could not keep up is none.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// How the threads of the generator are named, so that their time can be told from that of a built-in server.
pub const THREAD_PREFIX: &str = "load-";

/// Where the system says what each thread of this process has used.
const TASKS: &str = "/proc/self/task";
/// The niceness of the generator's threads.
const NICENESS: i32 = -10;

/// Puts the calling thread before the machine's other work, where the system allows that: whoever measures should not wait
/// behind what does not. Where it does not, late starts are seen and make the run INVALID.
pub fn prioritise() {
    let _ = rustix::process::setpriority_process(None, NICENESS); // of this thread alone, on Linux
}

/// Nanoseconds of CPU that the threads of this folder, `/proc/self/task`, have used as the generator's; `None` where the system
/// does not say. A thread that has just ended is none.
fn cpu_nanos(tasks: &Path) -> Option<u64> {
    let mut used = 0;
    for task in fs::read_dir(tasks).ok()?.flatten() {
        let path = task.path();
        let Ok(name) = fs::read_to_string(path.join("comm")) else { continue };
        if !name.starts_with(THREAD_PREFIX) {
            continue;
        }
        match fs::read_to_string(path.join("schedstat")) {
            Ok(text) => used += text.split(' ').next()?.trim().parse::<u64>().ok()?,
            Err(_) if path.exists() => return None,
            Err(_) => {}
        }
    }
    Some(used)
}

/// Bytes of memory that this process holds; `None` where `/proc` does not say.
fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? * 1024)
}

/// The machine in a line: cores, processor, memory, system.
pub fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).filter(|value| !value.is_empty())
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let processor = field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown processor".to_owned());
    let kilobytes =
        field(&read("/proc/meminfo"), "MemTotal").and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    let memory =
        kilobytes.map_or("unknown memory".to_owned(), |kilobytes| format!("{:.0} GiB", kilobytes / 1_048_576.0));
    let system = read("/proc/sys/kernel/osrelease");
    format!("{cores} core(s), {processor}, {memory}, Linux {}", system.trim())
}

/// Cores that the generator may use: no more than it has threads.
pub fn cores(threads: usize) -> f64 {
    threads.min(std::thread::available_parallelism().map_or(1, usize::from)).max(1) as f64
}

/// The generator's CPU, over windows of some seconds.
pub struct Watch {
    cores: f64,
    window: Duration,
    marks: Vec<(Instant, u64)>,
    unreadable: bool,
    cpu_max: Option<f64>,
    resident_bytes_first: Option<u64>,
    /// The most memory seen, in bytes.
    pub resident_bytes_max: u64,
}

impl Watch {
    /// Starts to watch. `window` smooths over bursts.
    pub fn start(threads: usize, window: Duration) -> Self {
        Self {
            cores: cores(threads),
            window,
            marks: vec![(Instant::now(), cpu_nanos(Path::new(TASKS)).unwrap_or(0))],
            unreadable: false,
            cpu_max: None,
            resident_bytes_first: resident_bytes(),
            resident_bytes_max: 0,
        }
    }

    /// The busiest window's share of the cores it may use, 1 being all of them. `None` where the system did not say: a generator
    /// that used nothing at all has not been seen, and is not idle.
    pub fn cpu_max(&self) -> Option<f64> {
        self.cpu_max.filter(|share| !self.unreadable && *share > 0.0)
    }

    /// Bytes of memory that came to it since the start; `None` where the system did not say.
    pub fn growth(&self) -> Option<u64> {
        self.resident_bytes_first.map(|first| self.resident_bytes_max.saturating_sub(first))
    }

    /// Looks again; once a second or so.
    pub fn look(&mut self) {
        let used = cpu_nanos(Path::new(TASKS));
        self.unreadable |= used.is_none();
        let now = (Instant::now(), used.unwrap_or(0));
        self.resident_bytes_max = self.resident_bytes_max.max(resident_bytes().unwrap_or(0));
        self.marks.push(now);
        // The window's first mark: the youngest that is old enough.
        while self.marks.len() > 2 && now.0 - self.marks[1].0 >= self.window {
            self.marks.remove(0);
        }
        let (since, used) = self.marks[0];
        let wall = (now.0 - since).as_secs_f64();
        if wall >= self.window.as_secs_f64() * 0.8 {
            let share = now.1.saturating_sub(used) as f64 / 1e9 / wall / self.cores;
            self.cpu_max = Some(self.cpu_max.map_or(share, |most| most.max(share)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_that_cannot_be_read_is_not_none_used() {
        let folder = tempfile::TempDir::new().expect("a directory");
        let thread = folder.path().join("17");
        fs::create_dir(&thread).expect("a folder");
        assert_eq!(cpu_nanos(&folder.path().join("nowhere")), None);
        fs::write(thread.join("comm"), "other\n").expect("a file");
        assert_eq!(cpu_nanos(folder.path()), Some(0), "not one of the generator's");
        fs::write(thread.join("comm"), "load-io\n").expect("a file");
        assert_eq!(cpu_nanos(folder.path()), None, "no schedstat");
        fs::write(thread.join("schedstat"), "").expect("a file");
        assert_eq!(cpu_nanos(folder.path()), None, "an empty one");
        fs::write(thread.join("schedstat"), "1200 5 3\n").expect("a file");
        assert_eq!(cpu_nanos(folder.path()), Some(1_200));
    }

    #[test]
    fn a_generator_that_used_nothing_was_not_seen() {
        let watch = |cpu_max, unreadable| Watch { cpu_max, unreadable, ..Watch::start(1, Duration::from_secs(1)) };
        assert_eq!(watch(Some(0.3), false).cpu_max(), Some(0.3));
        assert_eq!((watch(Some(0.0), false).cpu_max(), watch(Some(0.3), true).cpu_max()), (None, None));
        assert_eq!(watch(None, false).cpu_max(), None, "shorter than a window");
    }
}
