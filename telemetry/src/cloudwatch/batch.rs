//! What one PutLogEvents request may hold, and how lines are packed into requests.

use super::event::{EVENT_OVERHEAD, Event};

/// The most a request may weigh: the UTF-8 bytes of its events and 26 for each.
pub(super) const PUT_BYTES_MAX: usize = 1_048_576;
/// The most events of a request.
pub(super) const PUT_EVENTS_MAX: usize = 10_000;
/// From the first event of a request to its last.
pub(super) const PUT_SPAN_MS_MAX: i64 = 24 * 60 * 60 * 1000;
/// The longest line that fits into a request.
pub(super) const LINE_BYTES_MAX: usize = PUT_BYTES_MAX - EVENT_OVERHEAD;

/// Packs lines into requests: chronological within each and from one to the next, lines of the same moment in the order
/// in which they came. A clock that was set back or forward shows in the order, never in a refused request. No line may
/// be longer than [`LINE_BYTES_MAX`].
pub(super) fn pack(mut events: Vec<Event>) -> Vec<Vec<Event>> {
    events.sort_by_key(|event| event.timestamp_ms);
    let mut batches = Vec::new();
    let mut batch: Vec<Event> = Vec::new();
    let mut weight = 0;
    for event in events {
        let span = batch.first().map_or(0, |first| event.timestamp_ms.saturating_sub(first.timestamp_ms));
        let full = batch.len() >= PUT_EVENTS_MAX || weight + event.weight() > PUT_BYTES_MAX || span > PUT_SPAN_MS_MAX;
        if full && !batch.is_empty() {
            batches.push(std::mem::take(&mut batch));
            weight = 0;
        }
        weight += event.weight();
        batch.push(event);
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloudwatch::event::{Rank, weight_of};
    use proptest::prelude::*;

    fn event(timestamp_ms: i64, line: String) -> Event {
        Event { timestamp_ms, rank: Rank::Info, line: line.into() }
    }

    fn assert_fits(batch: &[Event]) {
        assert!((1..=PUT_EVENTS_MAX).contains(&batch.len()));
        assert!(weight_of(batch) <= PUT_BYTES_MAX);
        assert!(batch.is_sorted_by_key(|event| event.timestamp_ms));
        let first = batch.first().map_or(0, |event| event.timestamp_ms);
        let last = batch.last().map_or(0, |event| event.timestamp_ms);
        assert!(last - first <= PUT_SPAN_MS_MAX);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_request_keeps_the_limits_and_no_line_is_lost(
            // Days apart, hours apart, and the same moment; short lines, long ones, and of wide characters.
            sizes in prop::collection::vec((0..3_i64, 0..30_i64, prop_oneof![0..50_usize, 200_000..260_000_usize]), 0..60),
        ) {
            let hour = 3_600_000;
            let events: Vec<Event> = sizes.iter().enumerate()
                .map(|(at, (days, hours, length))| {
                    event(days * 24 * hour + hours * hour, format!("{at} {}", "ß".repeat(*length)))
                })
                .collect();
            let batches = pack(events.clone());
            batches.iter().for_each(|batch| assert_fits(batch));
            let packed: Vec<Event> = batches.concat();
            prop_assert!(packed.is_sorted_by_key(|event| event.timestamp_ms), "chronological across requests too");
            let mut sorted = events;
            sorted.sort_by_key(|event| event.timestamp_ms);
            prop_assert_eq!(packed, sorted, "the same lines, those of one moment in their order");
        }

        #[test]
        fn requests_are_filled(count in 1..25_000_usize) {
            let batches = pack((0..count).map(|at| event(1, at.to_string())).collect());
            batches.iter().for_each(|batch| assert_fits(batch));
            prop_assert_eq!(batches.len(), count.div_ceil(PUT_EVENTS_MAX));
        }
    }

    #[test]
    fn the_longest_line_is_a_request_of_its_own_and_exact_limits_are_used() {
        let longest = event(5, "x".repeat(LINE_BYTES_MAX));
        assert_eq!(weight_of(std::slice::from_ref(&longest)), PUT_BYTES_MAX);
        assert_eq!(pack(vec![longest.clone(), event(5, String::new()), longest]).len(), 3);
        assert_eq!(pack(vec![event(0, String::new()), event(PUT_SPAN_MS_MAX, String::new())]).len(), 1);
        assert_eq!(pack(vec![event(0, String::new()), event(PUT_SPAN_MS_MAX + 1, String::new())]).len(), 2);
    }
}
