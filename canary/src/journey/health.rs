//! The first step: which addresses are up. All are asked at once: one that hangs keeps no other waiting, and the journey not for
//! longer than this step's share.

use std::net::IpAddr;
use std::time::Duration;

use http::Method;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::trial::{Tools, Trial, Tried};
use super::{Journey, check};
use crate::probe::{Ask, Phase};
use crate::report::{Address, Blame, Step, StepOutcome};

/// From so many addresses on the last one is left to the login: a run behind three costs no more than one behind two.
const SPARED_FROM: usize = 3;

impl Journey {
    /// Asks every address, but for one that the login can do for; whether any is up.
    pub(super) async fn health(&mut self, addresses: &[IpAddr]) -> Option<()> {
        let attempts = std::mem::take(&mut self.lookups);
        self.steps.push(Step { name: "health".to_owned(), outcome: StepOutcome::Failed, attempts });
        let (asked, spare) = match addresses {
            [asked @ .., last] if addresses.len() >= SPARED_FROM && self.credentials.is_some() => (asked, Some(*last)),
            all => (all, None),
        };
        let tools = Tools { deadline: self.tools.health_deadline, ..self.tools.clone() };
        self.unprobed = self.probe(&tools, asked, spare).await;
        (self.route.len() > 0).then_some(())
    }

    /// What the first attempt to log in says of the address that it went to in place of `health`. Where it failed, `health` tells
    /// whether the whole address is down.
    pub(super) async fn probed_by_login(&mut self, first: Option<&Tried>) {
        let Some(address) = self.unprobed.take() else { return };
        if let Some(Tried { served: true, certificate, .. }) = first {
            let certificate = certificate.clone();
            self.addresses.push(Address { address: address.to_string(), up: true, fault: None, certificate });
            self.route.add(address);
            return;
        }
        let deadline = self.tools.deadline.min(Instant::now() + self.tools.limits.step);
        let tools = Tools { deadline, retries: 0, ..self.tools.clone() };
        self.probe(&tools, &[address], None).await;
    }

    /// Asks these addresses and writes down what they say; the spare one, if it was not asked.
    async fn probe(&mut self, tools: &Tools, asked: &[IpAddr], spare: Option<IpAddr>) -> Option<IpAddr> {
        let one = |address: IpAddr| {
            let tools = tools.clone();
            async move {
                let ask = |_| Ask::new(Method::GET, "/health");
                tools.run("health", &[address], ask, |reply, _| check::health(reply)).await
            }
        };
        let (found, spare) = gather(asked, spare, tools.limits.step, one).await;
        for (address, trial) in found {
            self.note(address, trial);
        }
        let attempts = self.steps.first().map(|step| &step.attempts[..]).unwrap_or_default();
        let outcome = match () {
            () if self.route.len() == 0 => StepOutcome::Failed,
            () if self.addresses.iter().any(|address| !address.up) => StepOutcome::Partial,
            () if attempts.iter().any(|attempt| attempt.fault.is_some()) => StepOutcome::Retried,
            () if attempts.iter().any(|attempt| attempt.slow.is_some()) => StepOutcome::Slow,
            () => StepOutcome::Ok,
        };
        self.steps.iter_mut().take(1).for_each(|step| step.outcome = outcome);
        spare
    }

    fn note(&mut self, address: IpAddr, trial: Option<Trial<()>>) {
        let Some(mut trial) = trial else {
            // Nobody knows whether it is up, and a run that has not looked is no good run.
            let fault = Blame { phase: Phase::Check, reason: "the probe broke off: a defect of the canary".to_owned() };
            let address = address.to_string();
            return self.addresses.push(Address { address, up: false, fault: Some(fault), certificate: None });
        };
        let up = trial.value.is_some();
        if up {
            self.route.add(address);
        }
        self.addresses.push(Address {
            address: address.to_string(),
            up,
            fault: trial.attempts.iter().find_map(|attempt| attempt.fault.clone()),
            certificate: trial.tried.iter_mut().rev().find_map(|tried| tried.certificate.take()),
        });
        if self.evidence.is_none() {
            self.evidence = trial.evidence;
        }
        if let Some(step) = self.steps.first_mut() {
            step.attempts.extend(trial.attempts);
        }
    }
}

/// Probes all at once, in good times without the spare one: it is probed too once another has failed, or has not answered within
/// so long. In the order of the addresses; nothing of a probe that panicked. And the spare one, if it was not probed.
async fn gather<F>(
    asked: &[IpAddr],
    mut spare: Option<IpAddr>,
    patience: Duration,
    probe: impl Fn(IpAddr) -> F,
) -> (Vec<(IpAddr, Option<Trial<()>>)>, Option<IpAddr>)
where
    F: Future<Output = Trial<()>> + Send + 'static,
{
    let mut probes = JoinSet::new();
    let start = |probes: &mut JoinSet<_>, at: usize, address: IpAddr| {
        let probe = probe(address);
        probes.spawn(async move { (at, probe.await) });
    };
    let mut found: Vec<(IpAddr, Option<Trial<()>>)> = asked.iter().map(|address| (*address, None)).collect();
    for (at, address) in asked.iter().enumerate() {
        start(&mut probes, at, *address);
    }
    let patient_until = Instant::now() + patience;
    loop {
        let joined = match spare {
            Some(_) => tokio::time::timeout_at(patient_until, probes.join_next()).await,
            None => Ok(probes.join_next().await),
        };
        let well = match joined {
            Ok(None) => return (found, spare),
            Ok(Some(Ok((at, trial)))) => {
                let well = trial.value.is_some();
                found[at].1 = Some(trial);
                well
            }
            Ok(Some(Err(_))) | Err(_) => false,
        };
        if !well && let Some(address) = spare.take() {
            found.push((address, None));
            start(&mut probes, found.len() - 1, address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESSES: [[u8; 4]; 3] = [[127, 0, 0, 1], [127, 0, 0, 2], [127, 0, 0, 3]];

    /// What each does: answers (`true`), fails, or never comes to an end (none); a probe of 127.0.0.9 panics.
    async fn gathered(first: Option<bool>, second: Option<bool>) -> (Vec<Option<bool>>, bool) {
        let [one, two, spare] = ADDRESSES.map(IpAddr::from);
        let probe = move |address: IpAddr| async move {
            let does = if address == one {
                first
            } else if address == two {
                second
            } else {
                Some(true)
            };
            let Some(answers) = does else { panic!("a defect") };
            let value = answers.then_some(());
            Trial { attempts: Vec::new(), value, evidence: None, ours: None, tried: Vec::new() }
        };
        let (found, spare) = gather(&[one, two], Some(spare), Duration::from_secs(5), probe).await;
        let up = found.into_iter().map(|(_, trial)| trial.map(|trial| trial.value.is_some())).collect();
        (up, spare.is_some())
    }

    #[tokio::test]
    async fn the_last_address_is_spared_in_good_times_only_and_a_probe_that_panics_is_no_good_one() {
        assert_eq!(gathered(Some(true), Some(true)).await, (vec![Some(true); 2], true));
        assert_eq!(gathered(Some(true), Some(false)).await, (vec![Some(true), Some(false), Some(true)], false));
        assert_eq!(gathered(None, Some(true)).await, (vec![None, Some(true), Some(true)], false));
    }

    #[tokio::test]
    async fn the_spare_one_is_probed_while_another_hangs() {
        let [one, two, spare] = ADDRESSES.map(IpAddr::from);
        let probe = move |address: IpAddr| async move {
            tokio::time::sleep(Duration::from_millis(if address == one { 500 } else { 0 })).await;
            Trial { attempts: Vec::new(), value: Some(()), evidence: None, ours: None, tried: Vec::new() }
        };
        let (found, spare) = gather(&[one, two], Some(spare), Duration::from_millis(100), probe).await;
        assert_eq!((found.len(), spare), (3, None));
    }
}
