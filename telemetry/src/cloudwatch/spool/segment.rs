//! One file of the spool: a mark, then frames of a length, a checksum and a line.

use super::crc32::crc32;
use crate::cloudwatch::{
    batch::LINE_BYTES_MAX,
    event::{Event, Rank},
};

/// Opens every segment; the digit is the format's version.
pub(super) const MARK: &[u8; 8] = b"LOGSPL1\n";

/// Length and checksum of the body.
const HEAD: usize = 8;
/// Timestamp and rank, before the line.
const FIXED: usize = 9;
/// What a frame takes besides its line.
pub(super) const FRAME_OVERHEAD: usize = HEAD + FIXED;

/// What a segment held.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) events: Vec<Event>,
    /// Frames that are not whole; what lies behind a broken length counts as one.
    pub(super) corrupt: u64,
}

/// Appends one frame.
pub(super) fn encode(event: &Event, out: &mut Vec<u8>) {
    let start = out.len();
    // A line is at most 1 MiB long.
    out.extend_from_slice(&((FIXED + event.line.len()) as u32).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&event.timestamp_ms.to_le_bytes());
    out.push(event.rank as u8);
    out.extend_from_slice(event.line.as_bytes());
    let sum = crc32(&out[start + HEAD..]);
    out[start + 4..start + HEAD].copy_from_slice(&sum.to_le_bytes());
}

/// Reads a segment as far as it can be trusted: a frame with a wrong checksum is skipped, a length that cannot be ends
/// the reading. Never panics, whatever the file holds.
pub(super) fn decode(bytes: &[u8]) -> Content {
    let mut content = Content::default();
    let Some(mut rest) = bytes.strip_prefix(MARK) else {
        content.corrupt = u64::from(!bytes.is_empty());
        return content;
    };
    while !rest.is_empty() {
        let Some((body, sum, behind)) = frame(rest) else {
            content.corrupt += 1;
            break;
        };
        match event(body) {
            Some(event) if crc32(body) == sum => content.events.push(event),
            _ => content.corrupt += 1,
        }
        rest = behind;
    }
    content
}

fn frame(bytes: &[u8]) -> Option<(&[u8], u32, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (sum, rest) = rest.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length) as usize;
    let fits = (FIXED..=FIXED + LINE_BYTES_MAX).contains(&length) && length <= rest.len();
    let (body, behind) = fits.then(|| rest.split_at(length))?;
    Some((body, u32::from_le_bytes(*sum), behind))
}

fn event(body: &[u8]) -> Option<Event> {
    let (timestamp, rest) = body.split_first_chunk::<8>()?;
    let (rank, line) = rest.split_first()?;
    let line = std::str::from_utf8(line).ok()?;
    Some(Event { timestamp_ms: i64::from_le_bytes(*timestamp), rank: Rank::from_byte(*rank)?, line: line.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let event = (0..i64::MAX, 0..5_u8, any::<String>()).prop_map(|(timestamp_ms, rank, line)| Event {
            timestamp_ms,
            rank: Rank::from_byte(rank).unwrap_or(Rank::Info),
            line: line.into(),
        });
        prop::collection::vec(event, 0..20)
    }

    fn segment(events: &[Event]) -> Vec<u8> {
        let mut bytes = MARK.to_vec();
        events.iter().for_each(|event| encode(event, &mut bytes));
        bytes
    }

    proptest! {
        #[test]
        fn what_was_written_reads_back(events in events()) {
            prop_assert_eq!(decode(&segment(&events)), Content { events, corrupt: 0 });
        }

        #[test]
        fn a_torn_end_costs_its_own_line_only(events in events(), torn in 1..40_usize) {
            let whole = segment(&events);
            let kept = decode(&whole[..whole.len().saturating_sub(torn).max(MARK.len())]).events;
            prop_assert!(events.starts_with(&kept));
            let lost: usize = events[kept.len()..].iter().skip(1).map(|event| FRAME_OVERHEAD + event.line.len()).sum();
            prop_assert!(lost < torn, "all lines are there but those that the missing bytes were part of");
        }

        #[test]
        fn a_changed_byte_never_makes_a_line_of_its_own(events in events(), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
            let mut bytes = segment(&events);
            let at = at.index(bytes.len());
            bytes[at] ^= 1_u8 << bit;
            let content = decode(&bytes);
            prop_assert!(content.corrupt > 0);
            prop_assert!(content.events.iter().all(|event| events.contains(event)));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            decode(&[MARK.as_slice(), &bytes].concat());
            decode(&bytes);
        }
    }
}
