//! The wall clock, read in one place: only names, due dates and reports use it. All measuring is done with `Instant`.

use jiff::Timestamp;

/// Now.
#[expect(
    clippy::disallowed_methods,
    reason = "this is where the tool reads the wall clock; the service's is not its to use"
)]
pub fn now() -> Timestamp {
    Timestamp::now()
}
