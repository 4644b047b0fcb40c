//! The first question of a run: which addresses the name has. It is asked again as any step is tried again, and what failed
//! before it succeeded is kept.

use std::net::IpAddr;

use tokio::time::Instant;

use crate::probe::{Fault, Phase, Phases};
use crate::report::{Attempt, Blame};

/// What became of it.
#[derive(Debug)]
pub(crate) struct Lookup {
    /// The attempts that failed, in their order; their address is the name.
    pub(crate) failed: Vec<Attempt>,
    /// The addresses, at least one; else none of the attempts succeeded.
    pub(crate) addresses: Option<Vec<IpAddr>>,
}

/// Asks until there are addresses, `retries` times more at most. No attempt begins after the deadline but the first.
pub(crate) async fn look_up(
    host: &str,
    retries: u32,
    deadline: Instant,
    resolve: impl AsyncFn() -> Result<Vec<IpAddr>, Fault>,
) -> Lookup {
    let mut failed = Vec::new();
    loop {
        let started = Instant::now();
        match resolve().await {
            Ok(addresses) => return Lookup { failed, addresses: Some(addresses) },
            Err(fault) => failed.push(attempt(host, fault, started)),
        }
        if failed.len() > retries as usize {
            return Lookup { failed, addresses: None };
        }
        crate::journey::pause().await;
        if Instant::now() >= deadline {
            return Lookup { failed, addresses: None };
        }
    }
}

fn attempt(host: &str, fault: Fault, started: Instant) -> Attempt {
    let total_ms = started.elapsed().as_secs_f64() * 1e3;
    Attempt {
        address: host.to_owned(),
        status: None,
        phases: Phases { dns: total_ms, ..Phases::default() },
        total_ms,
        trace_id: String::new(),
        request_id: None,
        fault: Some(Blame { phase: Phase::Dns, reason: fault.reason }),
        slow: None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    use std::time::Duration;

    use super::*;

    /// A name server that stumbles so many times.
    async fn stumbling(times: u32, retries: u32, left: Duration) -> (Lookup, u32) {
        let asked = AtomicU32::new(0);
        let resolve = async || {
            if asked.fetch_add(1, Relaxed) < times {
                return Err(Fault::new(Phase::Dns, "it stumbled"));
            }
            Ok(vec![IpAddr::from(Ipv4Addr::LOCALHOST)])
        };
        let lookup = look_up("a", retries, Instant::now() + left, resolve).await;
        (lookup, asked.into_inner())
    }

    #[tokio::test]
    async fn a_name_server_that_stumbles_once_is_asked_again_and_the_failure_is_kept() {
        let (Lookup { failed, addresses }, asked) = stumbling(1, 1, Duration::from_secs(60)).await;
        assert_eq!((asked, addresses.map(|found| found.len())), (2, Some(1)));
        let [attempt] = &failed[..] else { panic!("{failed:?}") };
        assert_eq!(
            attempt.fault.as_ref().map(|blame| (blame.phase, blame.reason.as_str())),
            Some((Phase::Dns, "it stumbled"))
        );
    }

    #[tokio::test]
    async fn it_is_asked_as_often_as_a_step_is_tried_and_not_beyond_the_deadline() {
        for (retries, left, expected) in [(0, 60, 1), (2, 60, 3), (3, 0, 1)] {
            let (lookup, asked) = stumbling(9, retries, Duration::from_secs(left)).await;
            assert_eq!(
                (asked, lookup.failed.len(), lookup.addresses),
                (expected, expected as usize, None),
                "{retries} {left}"
            );
        }
    }
}
