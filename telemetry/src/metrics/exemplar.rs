//! Exemplars: for each bucket of a histogram the last request of a recorded trace that fell into it, so that a point on
//! a graph leads to a trace.

use std::sync::{Mutex, PoisonError};

use crate::{clock, trace_context::TraceContext};

/// One request in its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exemplar {
    pub(super) trace_id: [u8; 16],
    pub(super) span_id: [u8; 8],
    /// What was observed.
    pub(super) nanoseconds: u64,
    /// When, since 1970.
    pub(super) at_ms: u64,
}

/// The place for one exemplar.
#[derive(Debug, Default)]
pub(super) struct Slot(Mutex<Option<Exemplar>>);

impl Slot {
    /// Puts this request in the place of the one before. Where somebody else is at the slot at this moment the request
    /// is left out: no request waits, and one of two that came at once is as good an example as the other.
    pub(super) fn put(&self, trace: &TraceContext, nanoseconds: u64) {
        let Ok(mut place) = self.0.try_lock() else { return };
        // 2^64 milliseconds are half a billion years.
        let at_ms = u64::try_from(clock::since_epoch().as_millis()).unwrap_or(u64::MAX);
        *place = Some(Exemplar { trace_id: trace.trace_id, span_id: trace.span_id, nanoseconds, at_ms });
    }

    /// What is there.
    pub(super) fn get(&self) -> Option<Exemplar> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
