//! A gauge that counts what is open right now.

use metrics::Gauge;

/// Counts up and down.
#[derive(Debug, Clone)]
pub struct UpDown(Gauge);

impl UpDown {
    pub(super) const fn new(gauge: Gauge) -> Self {
        Self(gauge)
    }

    /// One more.
    pub fn inc(&self) {
        self.0.increment(1.0);
    }

    /// One less.
    pub fn dec(&self) {
        self.0.decrement(1.0);
    }

    /// One more until the guard is dropped, however that comes about.
    pub fn guard(&self) -> UpDownGuard {
        self.inc();
        UpDownGuard(self.clone())
    }
}

/// Holds one in its [`UpDown`].
#[derive(Debug)]
#[must_use = "the count falls again as soon as this is dropped"]
pub struct UpDownGuard(UpDown);

impl Drop for UpDownGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}
