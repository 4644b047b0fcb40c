//! A shipper in this process, its faults, and what moto has stored.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_cloudwatchlogs::config::{Credentials, SharedCredentialsProvider};
use telemetry::catalogue::ShipperOutcome;
use telemetry::cloudwatch::{CloudWatchSettings, Pace, Shipper, ShipperCounts, SpoolSettings};
use telemetry::{LogFormat, Settings, Telemetry};
use tracing::{Dispatch, Level};

use crate::harness::aws_faults::AwsFaults;
use crate::harness::moto::{Moto, Stored};

/// Long enough that only a hang runs into it.
pub(super) const DEADLINE: Duration = Duration::from_secs(40);

/// Times a tenth of production's, so that an outage of 6 s here is one of 60 s there. A request may take as long as there:
/// moto on a busy machine does.
pub(super) fn scaled() -> Pace {
    Pace {
        flush_interval: Duration::from_millis(200),
        spool_interval: Duration::from_millis(20),
        retry_base: Duration::from_millis(20),
        retry_max: Duration::from_secs(1),
        ..Pace::default()
    }
}

/// A shipper, the proxy that it talks to, and the group it has to itself.
pub(super) struct Rig {
    pub(super) moto: &'static Moto,
    pub(super) faults: AwsFaults,
    pub(super) group: String,
    pub(super) telemetry: Telemetry,
    next: u64,
}

impl Rig {
    /// `None` where moto is not installed.
    pub(super) fn start(test: &str, pace: Pace, spool: Option<&Path>) -> Option<Self> {
        Self::start_with(test, pace, spool, |_| {})
    }

    /// The same with other settings.
    pub(super) fn start_with(
        test: &str,
        pace: Pace,
        spool: Option<&Path>,
        change: impl FnOnce(&mut CloudWatchSettings),
    ) -> Option<Self> {
        let moto = Moto::get()?;
        let faults = AwsFaults::start(moto.address());
        let group = format!("/test/{test}/{}", uuid::Uuid::now_v7().simple());
        let mut cloudwatch = settings(&group, &faults, pace, spool);
        change(&mut cloudwatch);
        let (telemetry, _) = build(cloudwatch, "info", LogFormat::Json);
        Some(Self { moto, faults, group, telemetry, next: 0 })
    }

    pub(super) fn shipper(&self) -> &Shipper {
        self.telemetry.shipper().expect("the shipper is on")
    }

    pub(super) fn counts(&self) -> ShipperCounts {
        let counts = self.shipper().counts();
        assert!(counts.balances(), "the accounts do not add up: {counts:?}");
        counts
    }

    /// Hands over numbered lines at INFO; returns the longest that one of them took.
    pub(super) fn push(&mut self, lines: u64) -> Duration {
        let mut longest = Duration::ZERO;
        for _ in 0..lines {
            let line = format!("{{\"level\":\"INFO\",\"number\":{},\"text\":\"{}\"}}\n", self.next, "x".repeat(200));
            self.next += 1;
            let start = Instant::now();
            self.shipper().push(SystemTime::now(), Level::INFO, line.as_bytes());
            longest = longest.max(start.elapsed());
        }
        longest
    }

    /// So many lines in each tenth of a second, for so long, the accounts watched.
    pub(super) fn push_for(&mut self, time: Duration, lines: u64) -> Duration {
        let (end, mut longest) = (Instant::now() + time, Duration::ZERO);
        while Instant::now() < end {
            longest = longest.max(self.push(lines));
            self.counts();
            std::thread::sleep(Duration::from_millis(100));
        }
        longest
    }

    /// Waits until all is delivered or refused, and compares the accounts with what moto has stored.
    pub(super) fn settle(&self) -> ShipperCounts {
        assert!(self.shipper().flush(DEADLINE), "not delivered in time: {:?}", self.counts());
        let counts = self.counts();
        assert_eq!((counts.queued, counts.spooled, counts.queued_bytes), (0, 0, 0), "{counts:?}");
        let stored = self.stored().len() as u64;
        if counts.requests[ShipperOutcome::Timeout as usize] == 0 {
            assert_eq!(stored, counts.delivered, "moto has what the accounts say: {counts:?}");
        } else {
            // A request that was given up may have been stored all the same, and then it is twice.
            assert!(stored >= counts.delivered, "{stored}: {counts:?}");
        }
        counts
    }

    /// As `settle`, with every line delivered exactly once.
    pub(super) fn settle_complete(&self) -> ShipperCounts {
        let counts = self.settle();
        let stored = numbers(&self.stored());
        let missing: Vec<u64> = (0..self.next).filter(|number| !stored.contains(number)).collect();
        assert!(missing.is_empty(), "{} are missing, the first is {:?}", missing.len(), missing.first());
        assert_eq!((counts.produced, counts.delivered), (self.next, self.next), "{counts:?}");
        counts
    }

    pub(super) fn stored(&self) -> Vec<Stored> {
        self.moto.events(&self.group)
    }
}

/// The numbers of the stored lines.
pub(super) fn numbers(stored: &[Stored]) -> BTreeSet<u64> {
    let number = |event: &Stored| serde_json::from_str::<serde_json::Value>(&event.message).ok()?["number"].as_u64();
    stored.iter().filter_map(number).collect()
}

pub(super) fn settings(group: &str, faults: &AwsFaults, pace: Pace, spool: Option<&Path>) -> CloudWatchSettings {
    let spool = spool.map(|directory| SpoolSettings { directory: directory.to_owned(), bytes_max: 64 << 20 });
    CloudWatchSettings { pace, spool, sdk_config: Some(sdk(faults)), ..CloudWatchSettings::new(group) }
}

fn sdk(faults: &AwsFaults) -> SdkConfig {
    let credentials = Credentials::new("test", "test", None, None, "tests");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(faults.url())
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build()
}

pub(super) fn build(cloudwatch: CloudWatchSettings, filter: &str, format: LogFormat) -> (Telemetry, Dispatch) {
    let settings = Settings {
        service: "task-api",
        version: "1.2.3",
        environment: "test".to_owned(),
        format,
        filter: filter.to_owned(),
        cloudwatch: Some(cloudwatch),
        traces: None,
        sentry: None,
    };
    telemetry::build(settings, Box::new(std::io::sink())).expect("telemetry starts")
}
