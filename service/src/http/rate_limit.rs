//! Rate limits: a token bucket for each principal and each address, kept as the one instant at which it is full again (GCRA).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;
use quick_cache::sync::Cache;
use telemetry::metrics::{Metrics, Rejection};

use super::problem::{Kind, Problem};

/// Buckets that are kept: at about 100 bytes each, 10 MB. One that falls out starts full again.
const BUCKETS_MAX: usize = 100_000;

/// Seconds' worth of requests that may come at once.
const BURST_SECONDS: i64 = 2;

/// A limit of so many requests a second for each key.
pub struct RateLimit {
    /// Microseconds that one request costs; `None` when the limit is off.
    cost_micros: Option<i64>,
    buckets: Cache<u128, Arc<AtomicI64>>,
}

impl RateLimit {
    /// So many requests a second for each key; 0 is off.
    pub fn new(per_second: u32) -> RateLimit {
        let cost_micros = (per_second > 0).then(|| 1_000_000 / i64::from(per_second).max(1));
        RateLimit { cost_micros, buckets: Cache::new(if per_second > 0 { BUCKETS_MAX } else { 1 }) }
    }

    /// Takes one request from the bucket of `key`, or refuses with 429.
    pub fn check(&self, key: u128, now: Timestamp, metrics: &Metrics) -> Result<(), Problem> {
        let Some(cost) = self.cost_micros else { return Ok(()) };
        let now = now.as_microsecond();
        let fresh = || Ok::<_, std::convert::Infallible>(Arc::new(AtomicI64::new(now)));
        let Ok(bucket) = self.buckets.get_or_insert_with(&key, fresh);
        let burst = (BURST_SECONDS * 1_000_000).max(cost);
        let taken = bucket.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at| {
            let full_at = full_at.max(now) + cost;
            (full_at - now <= burst).then_some(full_at)
        });
        match taken {
            Ok(_) => Ok(()),
            Err(full_at) => {
                metrics.rejected(Rejection::RateLimited);
                let wait_micros = (full_at + cost - burst - now).max(1);
                let seconds = u32::try_from((wait_micros + 999_999) / 1_000_000).unwrap_or(1);
                Err(Problem::new(Kind::RateLimited, "this is more than your rate allows").retry_after(seconds))
            }
        }
    }
}
