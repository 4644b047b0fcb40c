//! Tests of the service from the outside: over HTTP, and of the binary by its arguments, signals and output.
#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    unreachable_pub,
    reason = "helpers of tests fail the test where they stand; nothing outside this binary sees them"
)]

mod batch;
mod concurrency;
mod given;
mod harness;
mod idempotency;
mod input;
mod paging;
mod purge;
mod task_activity;
mod task_list;
mod task_patch;
mod task_search;
mod task_tree;
mod tasks;
mod workspace;
