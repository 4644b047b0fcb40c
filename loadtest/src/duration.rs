//! Lengths of time as people write them on a command line: `500ms`, `30s`, `5m`, `2h`.

use std::time::Duration;

const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

/// Reads a length of time above 0.
///
/// # Errors
/// When it is none; the text says what is accepted.
pub fn parse(text: &str) -> Result<Duration, String> {
    let refused = || format!("{text:?} is no length of time; it takes a whole number above 0 and ms, s, m or h: 30s");
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(refused)?;
    let (number, unit) = text.split_at(digits);
    let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(refused)?;
    let count: u64 = number.parse().map_err(|_| refused())?;
    count.checked_mul(*millis).filter(|&millis| millis > 0).map(Duration::from_millis).ok_or_else(refused)
}

/// In the largest unit that divides it: 120 s is `2m`.
pub fn display(duration: Duration) -> String {
    let millis = duration.as_millis() as u64;
    let unit = UNITS.iter().rev().find(|(_, unit)| millis.is_multiple_of(*unit)).unwrap_or(&UNITS[0]);
    format!("{}{}", millis / unit.1, unit.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_back(millis in 1..1_000_000_000_u64) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse(&display(duration)), Ok(duration));
        }
    }

    #[test]
    fn only_a_number_and_a_unit_are_a_length_of_time() {
        for text in ["", "s", "5", "0s", "-5m", "5 m", "1h30m", "1w", "99999999999999999999s", "1.5s"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
