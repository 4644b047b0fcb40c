//! A step with its attempts: each on another connection, the failed ones kept beside the one that succeeded.

use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::check::{self, Checked, Wrong};
use crate::config::Limits;
use crate::credentials::Secret;
use crate::probe::tls::Certificate;
use crate::probe::{Ask, Exchange, Fault, Phase, Phases, Prober, Reply};
use crate::report::{Attempt, Blame, Evidence};
use crate::{clock, evidence};

/// Before a further attempt.
const PAUSE: Duration = Duration::from_millis(100);
/// And so much more at most.
const PAUSE_JITTER: Duration = Duration::from_millis(300);

/// What every step needs.
#[derive(Debug, Clone)]
pub(crate) struct Tools {
    /// Asks.
    pub(crate) prober: Prober,
    /// How long things may take.
    pub(crate) limits: Limits,
    /// Further attempts.
    pub(crate) retries: u32,
    /// No attempt begins after it, and none lasts beyond it.
    pub(crate) deadline: Instant,
    /// The same for the first step: an address that hangs must leave time for a user's journey by way of the others.
    pub(crate) health_deadline: Instant,
    /// The same for the last thing that is done, what earlier runs have left: the logout comes after it.
    pub(crate) sweep_deadline: Instant,
    /// Hidden in all evidence.
    pub(crate) secrets: Vec<Secret>,
}

/// A step that was tried.
#[derive(Debug)]
pub(super) struct Trial<T> {
    /// In their order.
    pub(crate) attempts: Vec<Attempt>,
    /// What the check found in the answer, when it is good.
    pub(crate) value: Option<T>,
    /// Of the first attempt that failed.
    pub(crate) evidence: Option<Evidence>,
    /// Our own fault.
    pub(crate) ours: Option<String>,
    /// What each attempt says of its address.
    pub(crate) tried: Vec<Tried>,
}

/// What an attempt says of its address.
#[derive(Debug)]
pub(super) struct Tried {
    pub(super) address: IpAddr,
    /// Whether it answered as it should, be it with a refusal that is ours to mend.
    pub(super) served: bool,
    /// What it showed.
    pub(super) certificate: Option<Certificate>,
}

/// Waits before a further attempt.
pub(crate) async fn pause() {
    tokio::time::sleep(PAUSE + clock::jitter(PAUSE_JITTER)).await;
}

impl Tools {
    /// Tries a step at these addresses, one after the other. Both closures are told which attempt it is, from 0.
    pub(super) async fn run<T>(
        &self,
        step: &'static str,
        addresses: &[IpAddr],
        ask: impl Fn(u32) -> Ask,
        check: impl Fn(&Reply, u32) -> Checked<T>,
    ) -> Trial<T> {
        let mut trial = Trial { attempts: Vec::new(), value: None, evidence: None, ours: None, tried: Vec::new() };
        let targets = addresses.iter().cycle().take(self.retries as usize + 1);
        for (number, address) in (0..).zip(targets) {
            if number > 0 {
                pause().await;
            }
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() && number > 0 {
                break;
            }
            // One that hangs leaves time for the others.
            let others = addresses.len() > 1 && number < self.retries;
            let timeout = self.prober.timeout.min(if others { left / 2 } else { left });
            let prober = Prober { timeout, ..self.prober.clone() };
            let exchange = prober.ask(*address, &ask(number)).await;
            let checked = self.judge(step, &exchange, |reply| check(reply, number));
            let mut attempt = attempt(&exchange);
            attempt.request_id = attempt.request_id.map(|id| self.hidden(&id));
            trial.tried.push(Tried {
                address: *address,
                served: !matches!(checked, Err((_, false))),
                certificate: exchange.certificate.clone(),
            });
            match checked {
                Ok(value) => {
                    attempt.slow = self.slow(step, &exchange);
                    trial.attempts.push(attempt);
                    trial.value = Some(value);
                    break;
                }
                Err((mut fault, ours)) => {
                    if Instant::now() >= self.deadline {
                        fault.reason.push_str("; the time that the run had for it was over");
                    }
                    // It may quote what the answer says of itself.
                    fault.reason = self.hidden(&fault.reason);
                    attempt.fault = Some(Blame { phase: fault.phase, reason: fault.reason.clone() });
                    if trial.evidence.is_none() {
                        trial.evidence = Some(self.evidence(step, &exchange, attempt.clone()));
                    }
                    trial.attempts.push(attempt);
                    if ours {
                        trial.ours = Some(fault.reason);
                        break;
                    }
                }
            }
        }
        trial
    }

    /// The value of a good answer within the limit of a step; else why not, and whether it is our fault.
    fn judge<T>(
        &self,
        step: &str,
        exchange: &Exchange,
        check: impl Fn(&Reply) -> Checked<T>,
    ) -> Result<T, (Fault, bool)> {
        let reply = exchange.result.as_ref().map_err(|fault| (fault.clone(), false))?;
        let value = check(reply).map_err(|wrong| match wrong {
            Wrong::Theirs(reason) => (Fault::new(Phase::Check, reason), false),
            Wrong::Ours(reason) => (Fault::new(Phase::Check, reason), true),
        })?;
        if exchange.total <= self.limits.step {
            return Ok(value);
        }
        let phase = exchange.phases.longest();
        let why = if step == "login" && phase == Phase::Wait { ", which hashes the password" } else { "" };
        let reason = format!(
            "took {:.0} ms, the limit of a step is {:.0} ms (canary.latency); {:.0} ms of it in {}{why}",
            exchange.total.as_secs_f64() * 1e3,
            self.limits.step.as_secs_f64() * 1e3,
            exchange.phases.get(phase),
            phase.as_str(),
        );
        Err((Fault::new(phase, reason), false))
    }

    /// Whether the answer is later than its objective, which runs to the last byte. Login has the limit of the step only: it
    /// hashes a password, as slowly as users bear, because that is as slowly as a thief can guess.
    fn slow(&self, step: &str, exchange: &Exchange) -> Option<Blame> {
        let limit = self.limits.answer.as_secs_f64() * 1e3;
        let Phases { wait, receive, .. } = exchange.phases;
        let phase = if receive > wait { Phase::Receive } else { Phase::Wait };
        (step != "login" && wait + receive > limit).then(|| Blame {
            phase,
            reason: format!(
                "took {:.0} ms to the last byte, the limit is {limit:.0} ms (requests.latency); {:.0} ms of it in {}",
                wait + receive,
                exchange.phases.get(phase),
                phase.as_str(),
            ),
        })
    }

    /// A text without the secrets that the run knows.
    pub(crate) fn hidden(&self, text: &str) -> String {
        let secrets: Vec<&str> = self.secrets.iter().map(Secret::expose).collect();
        evidence::without(&secrets, text)
    }

    fn evidence(&self, step: &str, exchange: &Exchange, attempt: Attempt) -> Evidence {
        let reply = exchange.result.as_ref().ok();
        // A login's own token is not known to the run yet.
        let token = reply.and_then(check::token);
        let secrets: Vec<&str> = self.secrets.iter().chain(&token).map(Secret::expose).collect();
        Evidence {
            step: step.to_owned(),
            attempt,
            headers: reply.map(|reply| evidence::headers(&reply.headers, &secrets)).unwrap_or_default(),
            body: reply.and_then(|reply| evidence::body(reply, &secrets)),
        }
    }
}

fn attempt(exchange: &Exchange) -> Attempt {
    let reply = exchange.result.as_ref().ok();
    let request_id = reply.and_then(|reply| reply.headers.get("x-request-id")?.to_str().ok());
    Attempt {
        address: exchange.address.ip().to_string(),
        status: reply.map(|reply| reply.status.as_u16()),
        phases: exchange.phases,
        total_ms: exchange.total.as_secs_f64() * 1e3,
        trace_id: exchange.trace_id.clone(),
        // It is shown: no longer than ids are.
        request_id: request_id.filter(|id| id.len() <= 128).map(str::to_owned),
        fault: None,
        slow: None,
    }
}
