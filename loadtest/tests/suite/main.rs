//! The tests of this crate: one binary. They start the tool as its users do, against the built-in servers and the real service.
#![expect(clippy::expect_used, reason = "a test's ground that does not hold fails the test, with this reason")]

mod contract;
mod explore;
mod harness;
mod interrupt;
mod real;
mod search;
mod secure;
mod usage;
mod verdicts;
