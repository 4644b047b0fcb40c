//! What the process uses, from Linux' `/proc`. On other systems these metrics are absent rather than zero.

use std::{fs, sync::OnceLock};

use rustix::{
    param::{clock_ticks_per_second, page_size},
    process::{Resource, getrlimit},
};

use super::text::sample;
use crate::catalogue;

/// Appends the `process_*` metrics, as many as can be read.
pub(super) fn render(out: &mut String) {
    if let Some(stat) = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(Stat::parse) {
        let ticks_per_second = clock_ticks_per_second() as f64;
        sample(out, &catalogue::PROCESS_CPU_SECONDS, stat.cpu_ticks as f64 / ticks_per_second);
        sample(out, &catalogue::PROCESS_RESIDENT_MEMORY, (stat.resident_pages * page_size() as u64) as f64);
        sample(out, &catalogue::PROCESS_VIRTUAL_MEMORY, stat.virtual_bytes as f64);
        sample(out, &catalogue::PROCESS_THREADS, stat.threads as f64);
        if let Some(boot) = boot_seconds() {
            let start = boot as f64 + stat.start_ticks as f64 / ticks_per_second;
            sample(out, &catalogue::PROCESS_START_TIME, start);
        }
    }
    if let Ok(descriptors) = fs::read_dir("/proc/self/fd") {
        // One of them is this very directory.
        sample(out, &catalogue::PROCESS_OPEN_FDS, descriptors.count().saturating_sub(1) as f64);
        let limit = getrlimit(Resource::Nofile).current.map_or(f64::INFINITY, |limit| limit as f64);
        sample(out, &catalogue::PROCESS_MAX_FDS, limit);
    }
}

/// Some fields of `/proc/self/stat`, proc_pid_stat(5).
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    cpu_ticks: u64,
    threads: u64,
    /// Since the machine's boot.
    start_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The second field is the program's name in parentheses, and may itself hold spaces and parentheses.
        let (_, after_name) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
        // proc_pid_stat(5) counts from 1, and two fields are behind us.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            cpu_ticks: field(14)? + field(15)?,
            threads: field(20)?,
            start_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

/// When the machine booted, in seconds since 1970. Read once: `/proc/stat` is long on a large machine.
fn boot_seconds() -> Option<u64> {
    static BOOT: OnceLock<Option<u64>> = OnceLock::new();
    *BOOT.get_or_init(|| {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_parentheses_does_not_shift_the_fields() {
        let text = "7 (a) b (c) S 1 7 7 0 -1 4194560 9 0 0 0 30 12 0 0 20 0 5 0 4711 1048576 25 18446744073709551615";
        let expected =
            Stat { cpu_ticks: 42, threads: 5, start_ticks: 4711, virtual_bytes: 1_048_576, resident_pages: 25 };
        assert_eq!(Stat::parse(text), Some(expected));
        assert_eq!(Stat::parse("7 (a) S 1"), None);
        assert_eq!(Stat::parse(""), None);
    }
}
