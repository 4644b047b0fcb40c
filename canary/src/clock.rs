//! The wall clock and a little randomness, each in one place.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use jiff::Timestamp;

/// Now.
#[expect(clippy::disallowed_methods, reason = "the one place where the machine's clock is read")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}

/// A length of time from 0 to `most`, another each time: canaries that started together do not stay together.
pub(crate) fn jitter(most: Duration) -> Duration {
    let share = RandomState::new().hash_one(0) as f64 / u64::MAX as f64;
    most.mul_f64(share)
}
