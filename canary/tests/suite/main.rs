//! The canary as it is run: the binary, against the real service behind a real nginx that ends TLS on several addresses.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test's ground that does not hold fails the test")]

mod addresses;
mod certificates;
mod cleanup;
mod command_line;
mod documented;
mod journey;
mod rig;
mod secrets;
mod serving;
mod shipped;
mod wrong;
