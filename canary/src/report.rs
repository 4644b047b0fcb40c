//! What a run has found. The terminal, JSON, metrics, EMF and the history are all made from this.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::probe::tls::Certificate;
use crate::probe::{Phase, Phases};

/// The version of the JSON; it rises when a field changes its meaning or goes.
pub const VERSION: u32 = 1;

/// How a run ended, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// No fault.
    Ok,
    /// Users are served, and something is wrong: an address, a slow answer, a step that needed a second attempt, a
    /// certificate that expires soon, a missing redirect, a task or a session that could not be removed.
    Degraded,
    /// A step failed for good, or the certificate expires within days.
    Failed,
    /// The canary's own fault, and nothing was seen that makes it failed.
    Error,
}

impl Outcome {
    /// The value of the `outcome` label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Failed => "failed",
            Self::Error => "error",
        }
    }

    /// What outweighs what, where several hold. A failure that was seen stays one although something of our own went wrong
    /// besides; of what is merely degraded nobody is told by a run that could not look at everything.
    pub(crate) const fn weight(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Degraded => 1,
            Self::Error => 2,
            Self::Failed => 3,
        }
    }

    /// The exit code of `canary run`.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Degraded => 1,
            Self::Failed => 2,
            Self::Error => 3,
        }
    }
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepOutcome {
    /// At the first attempt, in time.
    Ok,
    /// At the first attempt, and slower than the objective.
    Slow,
    /// At a further attempt.
    Retried,
    /// At some addresses, and at others not at all: `health` only.
    Partial,
    /// At none.
    Failed,
    /// It was not tried: it needs a step that failed.
    Skipped,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blame {
    /// What is to blame.
    pub phase: Phase,
    /// In words, without secrets.
    pub reason: String,
}

/// One attempt at a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// Where it went.
    pub address: String,
    /// The answer's status, when there was one.
    pub status: Option<u16>,
    /// Milliseconds in each phase; they add up to `total_ms`.
    pub phases: Phases,
    /// Milliseconds from the first moment to the last.
    pub total_ms: f64,
    /// Finds the request in the service's traces and logs.
    pub trace_id: String,
    /// The service's `x-request-id`, when it gave one.
    pub request_id: Option<String>,
    /// Why it failed.
    pub fault: Option<Blame>,
    /// It succeeded, later than the objective.
    pub slow: Option<Blame>,
}

/// A step with all its attempts. `health` has those at every address.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// One of the catalogue's `CANARY_STEPS`.
    pub name: String,
    /// How it ended.
    pub outcome: StepOutcome,
    /// In their order.
    pub attempts: Vec<Attempt>,
}

impl Step {
    /// Attempts beyond the first, of `health` beyond the first at each address. An attempt at the name has no trace.
    pub fn retries(&self) -> usize {
        let asked = self.attempts.iter().filter(|attempt| !attempt.trace_id.is_empty());
        let addresses: BTreeSet<&str> = asked.map(|attempt| attempt.address.as_str()).collect();
        let firsts = if self.name == "health" { addresses.len().max(1) } else { 1 };
        self.attempts.len().saturating_sub(firsts)
    }

    /// The attempt that decided.
    pub fn last(&self) -> Option<&Attempt> {
        self.attempts.last()
    }

    /// The first thing that was wrong.
    pub fn first_fault(&self) -> Option<(&Attempt, &Blame)> {
        self.attempts.iter().find_map(|attempt| Some((attempt, attempt.fault.as_ref()?)))
    }
}

/// One address of the target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Address {
    /// Without the port.
    pub address: String,
    /// Whether its last attempt at `health` succeeded, or the login that did for it.
    pub up: bool,
    /// Why its first one did not.
    pub fault: Option<Blame>,
    /// What it showed.
    pub certificate: Option<Certificate>,
}

/// Whether plain HTTP leads to HTTPS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    /// It does.
    pub ok: bool,
    /// What it does, in words.
    pub detail: String,
}

/// What is known of the first failed attempt of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The step.
    pub step: String,
    /// The attempt: address, phases, trace id, fault.
    pub attempt: Attempt,
    /// Headers of the answer; values that may be secrets are hidden.
    pub headers: BTreeMap<String, String>,
    /// The answer's body, redacted, at most 4 KiB.
    pub body: Option<String>,
}

impl Evidence {
    /// Of an attempt that no answer came to.
    pub(crate) fn without_answer(step: &str, attempt: &Attempt) -> Self {
        Self { step: step.to_owned(), attempt: attempt.clone(), headers: BTreeMap::new(), body: None }
    }
}

/// What the clean-up did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cleanup {
    /// Leftovers of earlier runs that were removed.
    pub swept: u32,
    /// Those that stay because somebody has hung a subtask under them: it would go with them.
    #[serde(default)]
    pub kept: u32,
    /// Those that could not be removed.
    pub sweep_failed: u32,
    /// The run's own task, when it could not be removed: the id.
    pub left_behind: Option<String>,
    /// The run's own sessions that may not have ended.
    #[serde(default)]
    pub sessions_left: u32,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`VERSION`].
    pub version: u32,
    /// Names the run.
    pub run: String,
    /// The canary's name.
    pub canary: String,
    /// What was probed.
    pub target: String,
    /// When it began.
    pub started_at: Timestamp,
    /// Milliseconds, clean-up included.
    pub duration_ms: f64,
    /// How it ended.
    pub outcome: Outcome,
    /// Everything that is not as it should be, the worst first.
    pub reasons: Vec<String>,
    /// Attempts beyond the first, over all steps and addresses.
    pub retries: u32,
    /// In their order.
    pub steps: Vec<Step>,
    /// Every address of the name.
    pub addresses: Vec<Address>,
    /// The certificate that expires first.
    pub certificate: Option<Certificate>,
    /// Absent when it was not checked.
    pub redirect: Option<Redirect>,
    /// What was removed.
    pub cleanup: Cleanup,
    /// What is known of the first failure, when there was one, also one that a retry mended.
    pub evidence: Option<Evidence>,
}

impl Report {
    /// Whether every step succeeded at its first attempt, at every address. A slow answer, a certificate that expires soon and
    /// a missing redirect do not count here.
    pub fn first_try(&self) -> bool {
        !self.steps.is_empty()
            && self.steps.iter().all(|step| step.outcome != StepOutcome::Skipped && step.first_fault().is_none())
    }

    /// The first attempt that failed or was slow: step, attempt, what was wrong.
    pub fn first_blame(&self) -> Option<(&Step, &Attempt, &Blame)> {
        let faulty = |step: &'_ Step| step.first_fault().is_some();
        let slow = |attempt: &'_ Attempt| attempt.fault.is_none() && attempt.slow.is_some();
        if let Some(step) = self.steps.iter().find(|step| faulty(step)) {
            return step.first_fault().map(|(attempt, blame)| (step, attempt, blame));
        }
        self.steps.iter().find_map(|step| {
            let attempt = step.attempts.iter().find(|attempt| slow(attempt))?;
            Some((step, attempt, attempt.slow.as_ref()?))
        })
    }
}
