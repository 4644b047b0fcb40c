//! Getting a portion of lines delivered: retries with full jitter, halving to find what is refused, the accounts.

use std::{
    collections::VecDeque,
    future::poll_fn,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
    time::{Duration, Instant},
};

use tokio::sync::OnceCell;
use tracing::Level;

use super::{
    client::{Client, Failure, Rejected},
    event::{Event, weight_of},
    queue::Queue,
    settings::CloudWatchSettings,
    stats::Source,
};
use crate::{
    catalogue::{
        LOG_SHIPPER_FAILING, LOG_SHIPPER_RECOVERED, LOG_SHIPPER_REJECTED, LOG_SHIPPER_RETENTION_FAILED, ShipperOutcome,
        ShipperReject,
    },
    clock,
    logs::{Field, OwnLines},
    random::random_u64,
};

/// The most times one request is halved while nothing of it is accepted. A poison event among 10,000 takes 14; when all of a
/// request is refused, the bound keeps that from becoming 20,000 requests, and what is undecided then is given up. Once
/// something was accepted, refusals are about single lines, and halving goes on until each is found, in at most two requests for
/// each line: none that is good is lost to its neighbours.
const HALVINGS_MAX: usize = 256;

/// So many attempts in a row have failed when standard output is told: fewer is the daily noise of any network.
const ATTEMPTS_UNTIL_TOLD: u32 = 3;

/// No wait between retries is longer while somebody waits for the last lines.
const RETRY_MAX_WHEN_FLUSHING: Duration = Duration::from_millis(250);

/// Standard output is told of refused lines once in this time.
const REJECTED_TOLD_EVERY: Duration = Duration::from_secs(60);

/// What has been told.
#[derive(Debug, Default)]
struct Health {
    failing_since: Option<Instant>,
    rejected_told: Option<Instant>,
}

/// What every delivery shares.
pub(super) struct Delivery {
    pub(super) queue: Arc<Queue>,
    settings: CloudWatchSettings,
    stream: String,
    client: OnceCell<Client>,
    lines: OwnLines,
    health: Mutex<Health>,
}

impl Delivery {
    pub(super) fn new(queue: Arc<Queue>, settings: CloudWatchSettings, stream: String, lines: OwnLines) -> Self {
        Self { queue, settings, stream, client: OnceCell::new(), lines, health: Mutex::default() }
    }

    /// Sends the requests one after the other, however long that takes; returns when each line is accounted for.
    pub(super) async fn deliver(&self, source: Source, batches: Vec<Vec<Event>>) {
        for batch in &batches {
            self.deliver_batch(source, batch).await;
        }
    }

    async fn deliver_batch(&self, source: Source, batch: &[Event]) {
        let whole = 0..batch.len();
        let mut left: VecDeque<Range<usize>> = [whole].into();
        let (mut halvings, mut is_any_accepted) = (0, false);
        // From both ends in turn: whether refused lines lie scattered or side by side, some that are accepted are found soon.
        while let Some(range) = if halvings % 2 == 0 { left.pop_back() } else { left.pop_front() } {
            let events = &batch[range.clone()];
            match self.put(events).await {
                Ok(rejected) => {
                    is_any_accepted = true;
                    self.accepted(source, events, rejected);
                }
                Err(_) if events.len() > 1 && (is_any_accepted || halvings < HALVINGS_MAX) => {
                    halvings += 1;
                    let middle = range.start + events.len() / 2;
                    left.push_back(middle..range.end);
                    left.push_back(range.start..middle);
                }
                Err(failure) => self.refused(source, events, &failure),
            }
        }
    }

    /// Tries until there is a final answer: accepted, or refused for what the events are.
    async fn put(&self, events: &[Event]) -> Result<Rejected, Failure> {
        let mut attempt = 0;
        loop {
            // One that could not be made is tried again like anything else: the machine may say later where it is.
            let client = self.client.get_or_try_init(|| Client::connect(&self.settings, &self.stream)).await;
            let result = match client {
                Ok(client) => without_panic(client.put(events)).await,
                Err(failure) => Err(failure),
            };
            let outcome = result.as_ref().map_or_else(|failure| failure.outcome, |_| ShipperOutcome::Ok);
            self.queue.account(|counts| counts.requests[outcome as usize] += 1);
            let failure = match result {
                Err(failure) if let (ShipperOutcome::Missing, Some(client)) = (outcome, self.client.get()) => {
                    client.create(|why| self.unlimited(why)).await.map_or_else(|why| why, |()| failure)
                }
                Err(failure) if outcome != ShipperOutcome::Refused => failure,
                finally => return finally,
            };
            let created = attempt == 0 && failure.outcome == ShipperOutcome::Missing;
            attempt += 1;
            if !created {
                self.failed(attempt, &failure);
                self.wait(attempt).await;
            }
        }
    }

    /// Full jitter: anything from nothing to twice as much as the last time, up to the cap.
    async fn wait(&self, attempt: u32) {
        let pace = &self.settings.pace;
        let flushing = self.queue.flushing();
        let cap = if flushing { pace.retry_max.min(RETRY_MAX_WHEN_FLUSHING) } else { pace.retry_max };
        let delay = full_jitter(pace.retry_base, cap, attempt, random_u64());
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = self.queue.hurry.notified() => {}
        }
    }

    fn accepted(&self, source: Source, events: &[Event], rejected: Rejected) {
        let delivered = events.len() - rejected.total();
        self.settle(source, events, |rejections| {
            rejections[ShipperReject::TooOld as usize] += rejected.too_old as u64;
            rejections[ShipperReject::TooNew as usize] += rejected.too_new as u64;
            rejections[ShipperReject::Expired as usize] += rejected.expired as u64;
            delivered as u64
        });
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(since) = health.failing_since.take() {
            let failed = since.elapsed().as_millis() as u64;
            let fields = [("failed_for_ms", Field::Number(failed))];
            self.lines.write(Level::INFO, &LOG_SHIPPER_RECOVERED, "logs reach CloudWatch again", &fields);
        }
        drop(health);
        if rejected.total() > 0 {
            let error = "too old, too new or past the group's retention";
            self.tell_rejected(rejected.total(), error);
        }
    }

    fn refused(&self, source: Source, events: &[Event], failure: &Failure) {
        self.settle(source, events, |rejections| {
            rejections[ShipperReject::Refused as usize] += events.len() as u64;
            0
        });
        self.tell_rejected(events.len(), &failure.error);
    }

    /// Moves lines to their last place in one step. `places` books the rejected ones and returns the delivered.
    fn settle(
        &self,
        source: Source,
        events: &[Event],
        places: impl FnOnce(&mut [u64; ShipperReject::ALL.len()]) -> u64,
    ) {
        let weight = weight_of(events) as u64;
        let now = clock::since_epoch().as_millis() as u64;
        self.queue.account(|counts| {
            counts.take_from(source, events.len() as u64);
            if source == Source::Memory {
                counts.queued_bytes -= weight;
            }
            let delivered = places(&mut counts.rejected);
            counts.delivered += delivered;
            if delivered > 0 {
                counts.last_success_ms = now;
            }
        });
    }

    fn failed(&self, attempt: u32, failure: &Failure) {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        if attempt >= ATTEMPTS_UNTIL_TOLD && health.failing_since.is_none() {
            health.failing_since = Some(Instant::now());
            let fields = [("reason", Field::Text(failure.outcome.as_str())), ("error", Field::Text(&failure.error))];
            let message = "logs do not reach CloudWatch; they are kept for as long as there is room, and tried again";
            self.lines.write(Level::WARN, &LOG_SHIPPER_FAILING, message, &fields);
        }
    }

    /// The group was made a moment ago, and this is not tried again: its lines are kept, and paid for, until somebody
    /// sets what this could not.
    fn unlimited(&self, failure: &Failure) {
        self.queue.account(|counts| counts.retention_errors += 1);
        let days = u64::try_from(self.settings.retention_days).unwrap_or(0);
        let fields = [("retention_days", Field::Number(days)), ("error", Field::Text(&failure.error))];
        let message = "the new log group keeps its lines for ever: set its retention by hand";
        self.lines.write(Level::WARN, &LOG_SHIPPER_RETENTION_FAILED, message, &fields);
    }

    fn tell_rejected(&self, events: usize, error: &str) {
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        if health.rejected_told.is_some_and(|told| told.elapsed() < REJECTED_TOLD_EVERY) {
            return;
        }
        health.rejected_told = Some(Instant::now());
        let fields = [("lines", Field::Number(events as u64)), ("error", Field::Text(error))];
        let message = "CloudWatch refused log lines; the metrics have the sum";
        self.lines.write(Level::WARN, &LOG_SHIPPER_REJECTED, message, &fields);
    }
}

/// A panic on the way is a refusal: its lines are halved to find the one at fault, where they would stay queued for ever.
async fn without_panic(put: impl Future<Output = Result<Rejected, Failure>>) -> Result<Rejected, Failure> {
    let mut put = pin!(put);
    poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| put.as_mut().poll(context)));
        let panicked = || Failure { outcome: ShipperOutcome::Refused, error: "sending it panicked".to_owned() };
        polled.unwrap_or_else(|_| Poll::Ready(Err(panicked())))
    })
    .await
}

fn full_jitter(base: Duration, cap: Duration, attempt: u32, random: u64) -> Duration {
    let most = base.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1))).min(cap);
    let nanoseconds = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(random.checked_rem(nanoseconds.saturating_add(1)).unwrap_or(random))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_wait_is_longer_than_its_bound(base in 0..10_000_u64, cap in 0..100_000_u64, attempt: u32, random: u64) {
            let (base, cap) = (Duration::from_millis(base), Duration::from_millis(cap));
            let wait = full_jitter(base, cap, attempt, random);
            prop_assert!(wait <= cap);
            if attempt == 1 {
                prop_assert!(wait <= base);
            }
        }
    }

    #[tokio::test]
    async fn a_panic_while_sending_is_a_refusal() {
        let failure = without_panic(async { panic!("planted") }).await.expect_err("no answer");
        assert_eq!(failure.outcome, ShipperOutcome::Refused);
        assert!(without_panic(async { Ok(Rejected::default()) }).await.is_ok());
    }

    #[test]
    fn waits_spread_from_nothing_to_the_bound() {
        let wait = |random| full_jitter(Duration::from_secs(1), Duration::from_secs(8), 9, random).as_secs();
        let seen: std::collections::BTreeSet<u64> = (0..1000).map(|_| wait(random_u64())).collect();
        assert_eq!(seen, (0..8).collect());
    }
}
