//! Spool files that cannot be read, and lines that the spool has no room for: neither may hold up what waits behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use telemetry::catalogue::ShipperDrop;
use tracing::Level;

use super::rig::{DEADLINE, Rig, scaled};
use crate::harness::aws_faults::Fault;

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("the spool").flatten().map(|entry| entry.path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|name| name == "seg")).collect();
    files.sort();
    files
}

#[test]
fn a_file_that_cannot_be_read_is_passed_over_kept_and_counted() {
    let directory = tempfile::tempdir().expect("a directory");
    let Some(mut rig) = Rig::start("unreadable", scaled(), Some(directory.path())) else { return };
    rig.faults.rule(|_| Fault::Cut);
    // More than the four requests that have read their files already, in files of a request each.
    let end = Instant::now() + DEADLINE;
    while files(directory.path()).len() < 7 {
        assert!(Instant::now() < end, "the spool has {} files only", files(directory.path()).len());
        rig.push(1000);
        std::thread::sleep(Duration::from_millis(100));
    }
    // Nobody can read a directory, not even root.
    let broken = files(directory.path()).swap_remove(4);
    fs::remove_file(&broken).and_then(|()| fs::create_dir(&broken)).expect("a directory in its place");
    rig.faults.rule(|_| Fault::None);

    // Not flushed: it must go on by itself, with nothing new to wake it.
    while rig.counts().spooled > 0 {
        assert!(Instant::now() < end, "what is behind the broken file stays: {:?}", rig.counts());
        std::thread::sleep(Duration::from_millis(50));
    }
    let counts = rig.settle();
    let lost = counts.dropped(ShipperDrop::SpoolCorrupt);
    assert!(lost > 0 && lost == counts.dropped_total(), "{counts:?}");
    assert_eq!(counts.produced, counts.delivered + lost, "{counts:?}");
    assert!(counts.spool_errors > 1, "it is tried more than once: {counts:?}");
    assert_eq!(files(directory.path()), [broken], "it stays for somebody to look at, and all others are gone");
}

#[test]
fn a_line_that_the_spool_has_no_room_for_is_sent_from_memory() {
    let directory = tempfile::tempdir().expect("a directory");
    let Some(rig) = Rig::start_with("no-room", scaled(), Some(directory.path()), |settings| {
        settings.spool.iter_mut().for_each(|spool| spool.bytes_max = 100_000);
    }) else {
        return;
    };
    // Longer than the room, and too short to fill a request: only its age makes it due.
    let line = format!("{{\"number\":1,\"text\":\"{}\"}}", "x".repeat(200_000));
    rig.shipper().push(SystemTime::now(), Level::INFO, line.as_bytes());
    let end = Instant::now() + Duration::from_secs(10);
    while rig.counts().delivered == 0 {
        assert!(Instant::now() < end, "it stays in memory: {:?}", rig.counts());
        std::thread::sleep(Duration::from_millis(50));
    }
}
