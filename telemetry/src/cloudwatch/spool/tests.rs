//! The spool on a real disk: order, bounds, a second process, and what a kill leaves behind.

use std::{fs, io};

use super::*;
use crate::cloudwatch::event::Rank;

fn event(number: i64) -> Event {
    Event { timestamp_ms: number, rank: Rank::Info, line: format!("line {number}").into() }
}

fn settings(directory: &Path, bytes_max: u64) -> SpoolSettings {
    SpoolSettings { directory: directory.to_owned(), bytes_max }
}

fn numbers(portion: &Portion) -> Vec<i64> {
    portion.events.iter().map(|event| event.timestamp_ms).collect()
}

#[test]
fn lines_come_back_in_their_order_and_files_go_when_they_are_done() -> io::Result<()> {
    let directory = tempfile::tempdir()?;
    let mut spool = Spool::open(&settings(directory.path(), 1 << 20))?;
    spool.append(&[event(1), event(2)])?;
    assert!(spool.next(|_| false)?.is_none(), "what is being written to waits until it is due");
    let first = spool.next(|_| true)?.ok_or(io::ErrorKind::NotFound)?;
    spool.append(&[event(3)])?;
    let second = spool.next(|_| true)?.ok_or(io::ErrorKind::NotFound)?;
    assert_eq!((numbers(&first), numbers(&second)), (vec![1, 2], vec![3]));
    assert!(spool.next(|_| true)?.is_none(), "what is on its way is not sent twice");
    spool.done(second.id)?;
    spool.done(first.id)?;
    assert!(spool.is_empty() && spool.bytes() == 0);
    let left: Vec<_> = fs::read_dir(directory.path())?.flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["lock"]);
    Ok(())
}

#[test]
fn a_process_that_was_killed_leaves_its_lines_to_the_next() -> io::Result<()> {
    let directory = tempfile::tempdir()?;
    let mut killed = Spool::open(&settings(directory.path(), 1 << 20))?;
    killed.append(&[event(1), event(2)])?;
    let taken = killed.next(|_| true)?.map(|portion| portion.id);
    killed.append(&[event(3)])?;
    let second_file = killed.path(killed.next - 1);
    drop(killed);
    // Half a frame, as a kill within a write leaves it.
    let mut bytes = fs::read(&second_file)?;
    segment::encode(&event(4), &mut bytes);
    bytes.truncate(bytes.len() - 3);
    fs::write(&second_file, bytes)?;

    let mut spool = Spool::open(&settings(directory.path(), 1 << 20))?;
    assert_eq!(spool.recover(), Recovered { events: 3, corrupt: 1, errors: 0 });
    let first = spool.next(|_| false)?.ok_or(io::ErrorKind::NotFound)?;
    let second = spool.next(|_| false)?.ok_or(io::ErrorKind::NotFound)?;
    assert_eq!((Some(first.id), numbers(&first), numbers(&second)), (taken, vec![1, 2], vec![3]));
    assert_eq!((first.lost, second.lost), (0, 0));
    spool.append(&[event(5)])?;
    let third = spool.next(|_| true)?.ok_or(io::ErrorKind::NotFound)?;
    assert!(third.id > second.id, "new files are the newest");
    Ok(())
}

#[test]
fn it_takes_no_more_than_its_bound() -> io::Result<()> {
    let directory = tempfile::tempdir()?;
    let mut spool = Spool::open(&settings(directory.path(), 2000))?;
    let mut number = 0;
    while spool.room() >= event(number).weight() {
        spool.append(&[event(number)])?;
        number += 1;
    }
    let on_disk: u64 =
        fs::read_dir(directory.path())?.flatten().filter_map(|entry| Some(entry.metadata().ok()?.len())).sum();
    assert!(on_disk == spool.bytes() && on_disk <= 2000 && on_disk > 1900, "{on_disk}");
    Ok(())
}

#[test]
fn a_file_is_one_request_at_most() -> io::Result<()> {
    let directory = tempfile::tempdir()?;
    let mut spool = Spool::open(&settings(directory.path(), 1 << 30))?;
    let long = |number| Event { timestamp_ms: number, rank: Rank::Info, line: "x".repeat(400_000).into() };
    (0..5).try_for_each(|number| spool.append(&[long(number)]))?;
    let mut portions = Vec::new();
    while let Some(portion) = spool.next(|_| true)? {
        portions.push(numbers(&portion));
    }
    assert_eq!(portions, [vec![0, 1], vec![2, 3], vec![4]]);
    Ok(())
}

#[test]
fn a_file_that_cannot_be_read_is_given_up_after_some_failures_and_keeps_its_room() -> io::Result<()> {
    let directory = tempfile::tempdir()?;
    let mut spool = Spool::open(&settings(directory.path(), 1 << 20))?;
    spool.append(&[event(1), event(2)])?;
    spool.active = None;
    spool.append(&[event(3)])?;
    let (first, room) = (spool.path(0), spool.room());
    fs::remove_file(&first)?;
    fs::create_dir(&first)?; // unreadable for everybody
    for failure in 1..=READ_FAILURES_MAX {
        let error = spool.next(|_| true).err().ok_or(io::ErrorKind::Other)?;
        assert!(spool.since().is_some(), "it is known when to try again");
        let lost = if failure == READ_FAILURES_MAX { Some(2) } else { None };
        assert_eq!(spool.give_up(&error), lost, "failure {failure}");
    }
    let second = spool.next(|_| true)?.ok_or(io::ErrorKind::NotFound)?;
    assert_eq!(numbers(&second), [3]);
    assert!(first.is_dir() && spool.room() == room, "what stays on disk takes room");

    spool.append(&[event(4)])?;
    fs::remove_file(spool.path(2))?;
    let error = spool.next(|_| true).err().ok_or(io::ErrorKind::Other)?;
    assert_eq!(spool.give_up(&error), Some(1), "one that is gone does not come back");
    spool.done(second.id)?;
    assert!(spool.is_empty() && spool.bytes() == 0);
    Ok(())
}

#[test]
fn a_second_process_and_a_directory_that_cannot_be_are_refused() -> io::Result<()> {
    let directory = tempfile::tempdir()?;
    let first = Spool::open(&settings(directory.path(), 1))?;
    let refused = Spool::open(&settings(directory.path(), 1)).err().map(|error| error.to_string());
    assert_eq!(refused.as_deref(), Some("another process uses it"));
    drop(first);
    assert!(Spool::open(&settings(directory.path(), 1)).is_ok());
    assert!(Spool::open(&settings(Path::new("/dev/null/spool"), 1)).is_err());
    Ok(())
}

#[test]
fn a_file_that_cannot_be_read_at_the_start_takes_its_room_from_the_bound() -> io::Result<()> {
    let directory = tempfile::tempdir()?;
    let settings = settings(directory.path(), 1 << 20);
    let before = Spool::open(&settings)?.room();
    // Nobody can read a directory, not even root.
    let broken = path(directory.path(), 7);
    fs::create_dir(&broken)?;
    let mut spool = Spool::open(&settings)?;
    assert_eq!(spool.recover(), Recovered { events: 0, corrupt: 0, errors: 1 });
    assert_eq!(spool.room() as u64, before as u64 - fs::metadata(&broken)?.len());
    assert_eq!(spool.left, 1, "and its place among the files");
    Ok(())
}
