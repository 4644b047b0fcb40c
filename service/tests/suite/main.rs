//! Tests of the service from the outside: over HTTP, and of the binary by its arguments, signals and output.
#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    unreachable_pub,
    reason = "helpers of tests fail the test where they stand; nothing outside this binary sees them"
)]

mod cloudwatch;
mod harness;
mod readme;
mod workspace;
