//! Checks of single fields. Each says in one clause what the field takes.

use jiff::Timestamp;
use uuid::Uuid;

use super::problem::{FieldError, Problem};

/// Collects what is wrong with a body, so that the client learns all of it at once.
#[derive(Debug, Default)]
pub struct Checks {
    errors: Vec<FieldError>,
    prefix: String,
}

/// The most errors that one answer lists.
const ERRORS_MAX: usize = 50;

impl Checks {
    /// Checks of the fields under a pointer, such as `/operations/3/task`.
    pub fn under(prefix: impl Into<String>) -> Checks {
        Checks { errors: Vec::new(), prefix: prefix.into() }
    }

    /// Notes that a field cannot be used.
    pub fn refuse(&mut self, field: &str, takes: impl Into<String>) {
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(FieldError::new(format!("{}/{field}", self.prefix), takes));
        }
    }

    /// A line of text of `min` to `max` characters.
    pub fn text(&mut self, field: &str, value: &str, min: usize, max: usize) {
        let length = value.chars().count();
        if length < min || length > max || value.contains('\0') {
            self.refuse(field, format!("takes {min} to {max} characters, none of them NUL"));
        } else if min > 0 && value.trim().is_empty() {
            self.refuse(field, "takes more than white space");
        }
    }

    /// A text of up to `max` bytes of UTF-8.
    pub fn long_text(&mut self, field: &str, value: &str, max: usize) {
        if value.len() > max || value.contains('\0') {
            self.refuse(field, format!("takes up to {max} bytes of UTF-8, none of them NUL"));
        }
    }

    /// An RFC 3339 time within the years that the API knows.
    pub fn instant(&mut self, field: &str, value: &str) -> Option<Timestamp> {
        match instant(value) {
            Some(instant) => Some(instant),
            None => {
                self.refuse(field, INSTANT);
                None
            }
        }
    }

    /// A UUID in its usual form.
    pub fn id(&mut self, field: &str, value: &str) -> Option<Uuid> {
        match id(value) {
            Some(id) => Some(id),
            None => {
                self.refuse(field, "takes a UUID such as 0197c3a5-6f2e-7cc0-9b1e-2f6d3c1a5b77");
                None
            }
        }
    }

    /// One of a closed set of words.
    pub fn word<T: std::str::FromStr>(&mut self, field: &str, value: &str, words: &[&str]) -> Option<T> {
        match value.parse() {
            Ok(word) => Some(word),
            Err(_) => {
                self.refuse(field, format!("takes one of {}", words.join(", ")));
                None
            }
        }
    }

    /// What was noted.
    pub fn into_errors(self) -> Vec<FieldError> {
        self.errors
    }

    /// A problem, if anything was noted.
    pub fn finish(self) -> Result<(), Problem> {
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::invalid_body(self.errors)) }
    }
}

/// What a time takes.
pub const INSTANT: &str = "takes an RFC 3339 time such as 2026-12-01T17:00:00Z, from 1970 to 2999";

/// Behind the last instant that the API takes, in seconds since 1970: 3000-01-01T00:00:00Z.
const INSTANT_SECONDS_END: i64 = 32_503_680_000;

/// An RFC 3339 time, cut to the microsecond that the databases keep.
pub fn instant(value: &str) -> Option<Timestamp> {
    // jiff reads more than RFC 3339: ask for the offset and the seconds, and refuse its extensions.
    let bytes = value.as_bytes();
    let shape = bytes.len() >= 20
        && value.is_ascii()
        && bytes[10].eq_ignore_ascii_case(&b'T')
        && [4, 7].iter().all(|at| bytes[*at] == b'-')
        && [13, 16].iter().all(|at| bytes[*at] == b':')
        && !value.contains(['[', ',']);
    let offset = match bytes.last_chunk::<6>() {
        Some([.., b'Z' | b'z']) => true,
        Some([b'+' | b'-', hour @ .., b':', _, _]) => hour.as_slice() <= b"23".as_slice(),
        _ => false,
    };
    if !shape || !offset {
        return None;
    }
    let instant: Timestamp = value.parse().ok()?;
    // Whole seconds are cut towards 1970 and would let the last one of 1969 in.
    let is_in_range = instant >= Timestamp::UNIX_EPOCH && instant.as_second() < INSTANT_SECONDS_END;
    is_in_range.then(|| Timestamp::from_microsecond(instant.as_microsecond()).ok()).flatten()
}

/// A UUID with hyphens.
pub fn id(value: &str) -> Option<Uuid> {
    if value.len() == 36 { Uuid::try_parse(value).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_are_rfc_3339_with_an_offset_and_in_range() {
        for good in
            ["2026-12-01T17:00:00Z", "2026-12-01t17:00:00.5z", "2026-12-01T17:00:00+02:00", "1970-01-01T00:00:00Z"]
        {
            assert!(instant(good).is_some(), "{good}");
        }
        let bad = [
            "",
            "2026-12-01",
            "2026-12-01T17:00:00",
            "2026-02-30T00:00:00Z",
            "9999-01-01T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "1969-12-31T23:59:59.999999Z",
            "2026-12-01 17:00:00Z",
            "2026-12-01T17:00Z",
            "2026-12-01T17:00:00Z[UTC]",
            "20261201T170000Z",
            "2026-13-01T00:00:00Z",
            "2026-12-01T17:00:00+25:00",
        ];
        for bad in bad {
            assert!(instant(bad).is_none(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_time_in_range_comes_back_as_it_went_to_the_microsecond(micros in 0i64..INSTANT_SECONDS_END * 1_000_000) {
            let time = Timestamp::from_microsecond(micros).unwrap();
            prop_assert_eq!(instant(&time.to_string()), Some(time));
        }

        #[test]
        fn no_text_makes_the_checks_panic(text: String) {
            let _ = instant(&text);
            let _ = id(&text);
            Checks::default().text("x", &text, 1, 10);
        }
    }
}
