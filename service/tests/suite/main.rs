//! Tests of the service from the outside: over HTTP, and of the binary by its arguments, signals and output.
#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    unreachable_pub,
    reason = "helpers of tests fail the test where they stand; nothing outside this binary sees them"
)]

mod access;
mod auth;
mod auth_limits;
mod batch;
mod batch_import;
mod bodies;
mod catalogue;
mod cloudwatch;
mod commands;
mod concurrency;
mod config;
mod database;
mod edge;
mod errors;
mod exemplars;
mod gate;
mod given;
mod harm;
mod harness;
mod headers;
mod idempotency;
mod input;
mod kill;
mod lifecycle;
mod members;
mod openapi;
mod pages;
mod paging;
mod plans;
mod planted;
mod pool;
mod projects;
mod purge;
mod readme;
mod sessions;
mod signals;
mod statements;
mod synthetic;
mod task_activity;
mod task_cache;
mod task_erase;
mod task_list;
mod task_patch;
mod task_search;
mod task_tree;
mod tasks;
mod tenants;
mod tls;
mod traces;
mod workspace;
