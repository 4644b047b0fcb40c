//! The tests of this crate: one binary.
#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "helpers of tests fail the test where they stand, and a test may wait and read its environment"
)]

mod catalogue;
mod cloudwatch;
mod command;
mod grafana;
mod harness;
mod prometheus;
mod prose;
mod tree;
mod users;
