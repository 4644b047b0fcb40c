//! Tests of the service from the outside: over HTTP, and of the binary by its arguments, signals and output.
#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    unreachable_pub,
    reason = "helpers of tests fail the test where they stand; nothing outside this binary sees them"
)]

mod commands;
mod config;
mod database;
mod edge;
mod harness;
mod headers;
mod kill;
mod lifecycle;
mod signals;
mod tls;
mod workspace;
