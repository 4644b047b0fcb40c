//! RFC 3339 in UTC with microseconds, fast: the text of the second is kept by each thread and reused.

use std::{
    cell::Cell,
    time::{SystemTime, UNIX_EPOCH},
};

use jiff::{Timestamp, tz::Offset};

/// `2026-01-31T23:59:59` without fraction and zone.
type Second = [u8; 19];

thread_local! {
    static LAST_SECOND: Cell<Option<(u64, Second)>> = const { Cell::new(None) };
}

/// Appends `time`, as in `2026-01-31T23:59:59.123456Z`. A clock before 1970 reads as 1970.
pub(super) fn append(time: SystemTime, out: &mut Vec<u8>) {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = since_epoch.as_secs();
    // A line can be written while the thread's storage is being torn down.
    let cached = LAST_SECOND.try_with(Cell::get).ok().flatten();
    let text = match cached {
        Some((second, text)) if second == seconds => text,
        _ => {
            let text = second_text(seconds);
            let _ = LAST_SECOND.try_with(|last| last.set(Some((seconds, text))));
            text
        }
    };
    out.extend_from_slice(&text);
    let mut fraction = *b".000000Z";
    digits(&mut fraction[1..7], since_epoch.subsec_micros());
    out.extend_from_slice(&fraction);
}

fn second_text(seconds: u64) -> Second {
    let timestamp = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    let time = Offset::UTC.to_datetime(timestamp.unwrap_or(Timestamp::MAX));
    let mut text = *b"0000-00-00T00:00:00";
    digits(&mut text[..4], time.year().unsigned_abs().into());
    let parts = [time.month(), time.day(), time.hour(), time.minute(), time.second()];
    for (part, at) in parts.into_iter().zip([5, 8, 11, 14, 17]) {
        digits(&mut text[at..at + 2], part.unsigned_abs().into());
    }
    text
}

/// Writes the last digits of `number` over `out`.
fn digits(out: &mut [u8], mut number: u32) {
    for digit in out.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    proptest! {
        #[test]
        fn any_time_until_the_year_9999_reads_back_to_the_microsecond(micros in 0..253_370_764_800_000_000_u64) {
            let time = UNIX_EPOCH + Duration::from_micros(micros);
            let mut out = Vec::new();
            append(time, &mut out);
            let text = String::from_utf8(out)?;
            prop_assert_eq!(text.len(), 27);
            let read = text.parse::<Timestamp>().map(|timestamp| timestamp.as_microsecond());
            prop_assert_eq!(read.ok(), i64::try_from(micros).ok());
        }
    }
}
