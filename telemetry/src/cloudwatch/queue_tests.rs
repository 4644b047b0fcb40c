//! The queue's rules: who goes first, what is reserved, that the accounts add up.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;
use tracing::Level;

use super::{Pace, event::Rank, queue::Queue};
use crate::catalogue::ShipperDrop;

const LEVELS: [Level; 5] = [Level::TRACE, Level::DEBUG, Level::INFO, Level::WARN, Level::ERROR];

fn queue(queue_bytes_max: usize, queue_events_max: usize) -> Queue {
    Queue::new(&Pace { queue_bytes_max, queue_events_max, ..Pace::default() })
}

fn moment(number: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(number)
}

fn levels_of(queue: &Queue) -> Vec<Rank> {
    queue.take(usize::MAX).iter().map(|event| event.rank).collect()
}

#[test]
fn when_full_the_lowest_level_goes_first() {
    let queue = queue(usize::MAX, 16); // two of them reserved
    for number in 0..14 {
        queue.push(moment(number), if number % 2 == 0 { Level::DEBUG } else { Level::INFO }, b"{}");
    }
    queue.push(moment(14), Level::INFO, b"{}");
    assert_eq!(queue.counts().dropped(ShipperDrop::QueueFull), 1);
    queue.push(moment(15), Level::DEBUG, b"{}"); // nothing matters less
    let ranks = levels_of(&queue);
    assert_eq!(ranks.iter().filter(|rank| **rank == Rank::Debug).count(), 6);
    assert_eq!(ranks.iter().filter(|rank| **rank == Rank::Info).count(), 8);
    assert!(queue.counts().balances());
}

#[test]
fn errors_have_room_reserved_and_then_take_that_of_others() {
    let queue = queue(usize::MAX, 16);
    (0..100).for_each(|number| queue.push(moment(number), Level::WARN, b"{}"));
    assert_eq!(queue.counts().queued, 14);
    (0..2).for_each(|number| queue.push(moment(number), Level::ERROR, b"{}"));
    assert_eq!(queue.counts().queued, 16);
    (0..100).for_each(|number| queue.push(moment(number), Level::ERROR, b"{}"));
    assert_eq!(levels_of(&queue), [Rank::Error; 16]);
    assert!(queue.counts().balances());
}

#[test]
fn lost_lines_are_told_of_in_a_line() {
    let queue = queue(usize::MAX, 16);
    (0..20).for_each(|number| queue.push(moment(number), Level::INFO, b"{}"));
    let drops = queue.take_drops();
    assert_eq!(drops.map(|drops| drops.lines), Some(6));
    let Some(drops) = drops else { return };
    assert_eq!((drops.first, drops.last), (moment(14), moment(19)), "the times of the lines that found no room");
    (0..2).for_each(|number| queue.push(moment(number), Level::ERROR, b"{}"));
    (0..100).for_each(|number| queue.push(moment(number), Level::ERROR, b"{}"));
    queue.tell_drops(drops, b"{\"lines\":6}\n");
    let drops = queue.take_drops().map(|drops| (drops.lines, drops.first, drops.last));
    assert_eq!(drops, Some((6 + 100, moment(0), moment(99))), "no room: the news is kept, and grows");
    assert!(queue.counts().balances());
}

#[test]
fn a_line_that_does_not_fit_does_not_get_younger() {
    let queue = queue(usize::MAX, 16);
    queue.push(moment(1), Level::INFO, &[b'x'; 1000]);
    let (_, since) = queue.waiting();
    assert!(since.is_some() && queue.take(500).is_empty());
    assert_eq!(queue.waiting().1, since, "or it would never be due");
    queue.push(moment(2), Level::INFO, b"behind it");
    assert_eq!(queue.take(1030).len(), 1);
    assert!(queue.waiting().1 > since, "what is left begins to wait when others have gone");
}

#[test]
fn a_line_that_is_too_long_is_cut_and_counted() {
    let queue = queue(8 << 20, 16);
    let line = format!("{{\"message\":\"{}\"}}\n", "x".repeat(2 << 20));
    queue.push(moment(1), Level::INFO, line.as_bytes());
    let taken = queue.take(usize::MAX);
    let text = taken.first().map(|event| event.line.to_string()).unwrap_or_default();
    assert_eq!(text.len(), super::batch::LINE_BYTES_MAX);
    assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok_and(|value| value["truncated"] == true));
    assert_eq!(queue.counts().truncated, 1);
}

proptest! {
    #[test]
    fn bounds_hold_order_is_kept_and_the_accounts_add_up(
        lines in prop::collection::vec((0..5_usize, 0..200_usize), 0..200),
        takes in 1..50_usize,
    ) {
        const BYTES: usize = 2000;
        let queue = queue(BYTES, 40);
        let mut taken = Vec::new();
        for (number, (level, length)) in lines.iter().enumerate() {
            queue.push(moment(number as u64), LEVELS[*level], "x".repeat(*length).as_bytes());
            let counts = queue.counts();
            prop_assert!(counts.balances());
            let in_flight: u64 = taken.iter().map(|event: &super::event::Event| event.weight() as u64).sum();
            prop_assert!(counts.queued_bytes <= BYTES as u64 && counts.queued <= 40);
            prop_assert!(in_flight <= counts.queued_bytes, "what is in flight counts as queued");
            if number % takes == 0 {
                taken.extend(queue.take(500));
            }
        }
        taken.extend(queue.take(usize::MAX));
        prop_assert!(taken.is_sorted_by_key(|event| event.timestamp_ms), "lines leave in the order in which they came");
        prop_assert_eq!(taken.len() as u64 + queue.counts().dropped_total(), lines.len() as u64);
    }
}
