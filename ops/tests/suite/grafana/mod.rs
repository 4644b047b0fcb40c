//! The dashboards: rules for their files, their types, and their queries against a real Prometheus.
#![expect(clippy::expect_used, reason = "helpers of tests fail the test where they stand")]

mod guide;
mod lint;
mod live;
mod operands;
mod pictures;
mod types;
