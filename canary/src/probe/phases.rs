//! What a request spends its time on.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// A part of a request, in order; the last is ours: the answer came and was wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The name becomes addresses.
    Dns,
    /// The TCP connection.
    Connect,
    /// The TLS handshake.
    Tls,
    /// Until the last byte of the request is handed over.
    Send,
    /// From there to the first byte of the answer: the server's share.
    Wait,
    /// From there to the last byte.
    Receive,
    /// Takes no time: the answer is compared with what it should be.
    Check,
}

impl Phase {
    /// The phases that take time, in order.
    pub const TIMED: [Self; 6] = [Self::Dns, Self::Connect, Self::Tls, Self::Send, Self::Wait, Self::Receive];

    /// The value of the `phase` label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Send => "send",
            Self::Wait => "wait",
            Self::Receive => "receive",
            Self::Check => "check",
        }
    }
}

/// Milliseconds in each phase. A phase that was not reached is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Phases {
    /// See [`Phase`], as for the others.
    pub dns: f64,
    /// See [`Phase`].
    pub connect: f64,
    /// See [`Phase`].
    pub tls: f64,
    /// See [`Phase`].
    pub send: f64,
    /// See [`Phase`].
    pub wait: f64,
    /// See [`Phase`].
    pub receive: f64,
}

impl Phases {
    /// The milliseconds of one phase.
    pub const fn get(&self, phase: Phase) -> f64 {
        match phase {
            Phase::Dns => self.dns,
            Phase::Connect => self.connect,
            Phase::Tls => self.tls,
            Phase::Send => self.send,
            Phase::Wait => self.wait,
            Phase::Receive => self.receive,
            Phase::Check => 0.0,
        }
    }

    /// The phase that took longest.
    pub fn longest(&self) -> Phase {
        let longer = |a: Phase, b: Phase| if self.get(b) > self.get(a) { b } else { a };
        Phase::TIMED.into_iter().reduce(longer).unwrap_or(Phase::Wait)
    }
}

/// When each phase ended, while a request is on its way.
#[derive(Debug)]
pub(super) struct Timeline {
    entered: Instant,
    current: Phase,
    spent: [Duration; Phase::TIMED.len()],
}

impl Timeline {
    /// Begins with the first phase.
    pub(super) fn start(at: Instant) -> Self {
        Self { entered: at, current: Phase::Dns, spent: Default::default() }
    }

    /// The phase that runs.
    pub(super) fn current(&self) -> Phase {
        self.current
    }

    /// Ends the phase that runs at `at`, and begins another.
    pub(super) fn enter(&mut self, phase: Phase, at: Instant) {
        self.spent[self.current as usize] += at.saturating_duration_since(self.entered);
        self.entered = at.max(self.entered);
        self.current = phase;
    }

    /// Ends the phase that runs at `at`, and counts.
    pub(super) fn finish(mut self, at: Instant) -> Phases {
        self.enter(self.current, at);
        let of = |phase: Phase| self.spent[phase as usize].as_secs_f64() * 1e3;
        Phases {
            dns: of(Phase::Dns),
            connect: of(Phase::Connect),
            tls: of(Phase::Tls),
            send: of(Phase::Send),
            wait: of(Phase::Wait),
            receive: of(Phase::Receive),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_counts_for_the_phase_in_which_it_passed() {
        let start = Instant::now();
        let mut timeline = Timeline::start(start);
        timeline.enter(Phase::Connect, start + Duration::from_millis(3));
        timeline.enter(Phase::Wait, start + Duration::from_millis(10));
        timeline.enter(Phase::Receive, start + Duration::from_millis(9)); // a mark that was set late
        let phases = timeline.finish(start + Duration::from_millis(15));
        assert!((phases.receive - 5.0).abs() < 1e-9, "{phases:?}");
        assert!((phases.dns - 3.0).abs() < 1e-9 && (phases.connect - 7.0).abs() < 1e-9, "{phases:?}");
        assert_eq!((phases.wait, phases.longest()), (0.0, Phase::Connect));
    }
}
