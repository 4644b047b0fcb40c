//! One request over a connection of its own, so that each phase is measured each time, and against one address, so that a bad
//! one is known by name.

mod exchange;
mod phases;
pub mod tls;
mod watched;

pub use exchange::{Ask, Exchange, Prober, Reply, resolve};
pub use phases::{Phase, Phases};

/// Why a request or its answer is not good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What is to blame.
    pub phase: Phase,
    /// In words, without secrets.
    pub reason: String,
}

impl Fault {
    /// A fault of this phase.
    pub fn new(phase: Phase, reason: impl Into<String>) -> Self {
        Self { phase, reason: reason.into() }
    }
}
