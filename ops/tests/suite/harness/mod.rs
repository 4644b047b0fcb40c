//! What the tests of this crate stand on.
#![expect(clippy::expect_used, reason = "helpers of tests fail the test where they stand")]

pub(crate) mod dashboards;
pub(crate) mod drive;
pub(crate) mod outside;
pub(crate) mod stage;

use slo::Slo;

/// The objectives of the repository.
pub(crate) fn objectives() -> Slo {
    Slo::read(&testkit::root().join("slo.toml")).expect("the repository's objectives")
}
