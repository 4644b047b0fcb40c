//! A length of time as Prometheus and people write it: `90s`, `5m`, `6h`, `30d`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// Whole seconds, at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(u64);

impl Period {
    /// In seconds.
    pub const fn seconds(self) -> u64 {
        self.0
    }

    /// As the standard library has it.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0)
    }

    /// So many seconds; `None` for 0.
    pub const fn from_seconds(seconds: u64) -> Option<Self> {
        if seconds == 0 { None } else { Some(Self(seconds)) }
    }
}

impl FromStr for Period {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let unit = text.chars().last().ok_or(())?;
        let (_, seconds) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(())?;
        let digits = &text[..text.len() - 1];
        if !digits.chars().all(|digit| digit.is_ascii_digit()) {
            return Err(());
        }
        let count: u64 = digits.parse().map_err(drop)?;
        count.checked_mul(*seconds).and_then(Self::from_seconds).ok_or(())
    }
}

/// In the largest unit that divides it: 120 s is `2m`.
impl fmt::Display for Period {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, seconds) =
            UNITS.into_iter().find(|(_, seconds)| self.0.is_multiple_of(*seconds)).unwrap_or(('s', 1));
        write!(formatter, "{}{unit}", self.0 / seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_back(seconds in 1..10_000_000_u64) {
            let period = Period(seconds);
            prop_assert_eq!(period.to_string().parse(), Ok(period));
        }
    }

    #[test]
    fn only_a_number_and_a_unit_are_a_period() {
        for text in ["", "s", "5", "0s", "-5m", "+5m", "5 m", "1h30m", "5ms", "1w", "99999999999999999999d", "5µ"] {
            assert_eq!(text.parse::<Period>(), Err(()), "{text}");
        }
    }
}
