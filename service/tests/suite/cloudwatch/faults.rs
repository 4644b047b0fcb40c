//! Faults one by one. Where a fault takes long in production, times are a tenth (see `rig::scaled`), and the test says so.

use std::time::{Duration, Instant, SystemTime};

use serde_json::json;
use telemetry::LogFormat;
use telemetry::catalogue::{ShipperDrop, ShipperOutcome, ShipperReject};
use telemetry::cloudwatch::{Pace, QUEUE_BYTES_MAX, ShipperCounts};
use tracing::Level;
use tracing::dispatcher::with_default;

use super::rig::{DEADLINE, Rig, build, numbers, scaled, settings};
use crate::harness::aws_faults::{AwsFaults, Fault};
use crate::harness::moto::Moto;

/// A line is a lock and a copy: a hundred times what that takes, for a machine that is busy with other tests.
const PUSH_MAX: Duration = Duration::from_millis(100);

fn requests(counts: &ShipperCounts, outcome: ShipperOutcome) -> u64 {
    counts.requests[outcome as usize]
}

#[test]
fn lines_arrive_once_and_in_order_in_a_group_that_is_made_for_them() {
    let Some(mut rig) = Rig::start("first", scaled(), None) else { return };
    for _ in 0..15 {
        rig.push(1000);
        std::thread::sleep(Duration::from_millis(10));
    }
    let counts = rig.settle_complete();
    let stored = rig.stored();
    assert!(stored.is_sorted_by_key(|event| event.timestamp), "chronological");
    let groups = rig.moto.call("DescribeLogGroups", &json!({ "logGroupNamePrefix": rig.group }));
    assert_eq!(groups["logGroups"][0]["retentionInDays"], 30);
    assert!(stored.iter().all(|event| event.stream.starts_with("task-api/")));
    assert!(counts.last_success_ms > 0 && counts.oldest_pending_ms <= counts.last_success_ms);
}

#[test]
fn a_storm_of_throttling_delays_and_loses_nothing() {
    let Some(mut rig) = Rig::start("throttled", scaled(), None) else { return };
    let end = Instant::now() + Duration::from_secs(3);
    rig.faults.puts(move |_| if Instant::now() < end { Fault::error(400, "ThrottlingException") } else { Fault::None });
    let longest = rig.push_for(Duration::from_secs(4), 100);
    let counts = rig.settle_complete();
    assert!(requests(&counts, ShipperOutcome::Throttled) > 5, "{counts:?}");
    assert!(requests(&counts, ShipperOutcome::Throttled) < 200, "jittered, growing waits: {counts:?}");
    assert!(longest < PUSH_MAX, "a line took {longest:?}");
}

#[test]
fn an_outage_of_a_minute_loses_nothing_with_the_spool() {
    // Scaled by ten unless `OUTAGE_SECONDS=60`: 6 s for 60 s, at five times the rate, with memory for two of them.
    let seconds = std::env::var("OUTAGE_SECONDS").map_or(6, |text| text.parse().expect("OUTAGE_SECONDS is a number"));
    let full = seconds >= 60;
    let (outage, lines) = (Duration::from_secs(seconds), if full { 100 } else { 500 });
    let pace = if full { Pace::default() } else { scaled() };
    let directory = tempfile::tempdir().expect("a directory");
    let pace = Pace { queue_bytes_max: QUEUE_BYTES_MAX / 2, queue_events_max: 10_000, ..pace };
    let Some(mut rig) = Rig::start("outage-spool", pace, Some(directory.path())) else { return };
    rig.push(100);
    rig.settle_complete();
    let end = Instant::now() + outage;
    rig.faults.rule(move |_| if Instant::now() < end { Fault::Cut } else { Fault::None });
    let longest = rig.push_for(outage, lines);
    let during = rig.counts();
    assert!(during.spooled > 10_000 && during.spooled_bytes > 1 << 20, "most of it is on disk: {during:?}");
    assert!(during.oldest_pending_ms > 0);
    let counts = rig.settle_complete();
    println!("{seconds} s: {} lines delivered, {} spooled at the end of the outage", counts.delivered, during.spooled);
    assert_eq!((counts.dropped_total(), counts.rejected_total(), counts.spooled_bytes), (0, 0, 0), "{counts:?}");
    assert!(longest < PUSH_MAX, "a line took {longest:?}");
}

#[test]
fn an_outage_without_the_spool_loses_what_memory_cannot_hold_and_says_how_much() {
    let pace = Pace { queue_events_max: 2000, ..scaled() };
    let Some(mut rig) = Rig::start("outage", pace, None) else { return };
    rig.faults.rule(|_| Fault::Cut);
    let longest = rig.push_for(Duration::from_secs(2), 500);
    rig.shipper().push(SystemTime::now(), Level::ERROR, b"{\"level\":\"ERROR\",\"message\":\"why\"}\n");
    let during = rig.counts();
    assert!(during.queued <= 2000 && during.dropped(ShipperDrop::QueueFull) > 5000, "{during:?}");
    rig.faults.rule(|_| Fault::None);
    let counts = rig.settle();
    let stored = rig.stored();
    assert!(stored.iter().any(|event| event.message.contains("\"why\"")), "an error had room");
    let told =
        |event: &serde_json::Value| if event["event"] == "log_lines_dropped" { event["lines"].as_u64() } else { None };
    let parsed = stored.iter().filter_map(|event| serde_json::from_str(&event.message).ok());
    assert_eq!(parsed.filter_map(|event| told(&event)).sum::<u64>(), counts.dropped_total(), "summaries tell of all");
    assert!(longest < PUSH_MAX, "a line took {longest:?}");
}

#[test]
fn a_full_spool_leaves_it_to_memory_what_goes_first() {
    let directory = tempfile::tempdir().expect("a directory");
    let pace = Pace { queue_events_max: 800, ..scaled() };
    let (bytes_max, lines) = (100_000, 3000);
    let Some(mut rig) = Rig::start_with("full-spool", pace, Some(directory.path()), |settings| {
        settings.spool.iter_mut().for_each(|spool| spool.bytes_max = bytes_max);
    }) else {
        return;
    };
    rig.faults.rule(|_| Fault::Cut);
    rig.push_for(Duration::from_secs(1), lines / 10);
    rig.shipper().push(SystemTime::now(), Level::ERROR, b"{\"level\":\"ERROR\",\"message\":\"why\"}\n");
    let during = rig.counts();
    assert!(during.spooled_bytes <= bytes_max && during.spooled > 300, "{during:?}");
    assert!(during.queued <= 800 && during.dropped(ShipperDrop::QueueFull) > 500, "{during:?}");
    rig.faults.rule(|_| Fault::None);
    rig.settle();
    assert!(rig.stored().iter().any(|event| event.message.contains("\"why\"")), "an error had room");
}

#[test]
fn cloudwatch_gets_json_also_when_people_read_standard_output() {
    let Some(moto) = Moto::get() else { return };
    let faults = AwsFaults::start(moto.address());
    let group = format!("/test/pretty/{}", uuid::Uuid::now_v7().simple());
    let settings = settings(&group, &faults, scaled(), None);
    let (telemetry, dispatch) = build(settings, "info", LogFormat::Pretty);
    with_default(&dispatch, || tracing::warn!(number = 7, "for both"));
    with_default(&dispatch, || tracing::debug!("for neither"));
    assert!(telemetry.shutdown(DEADLINE).complete);
    let stored = moto.events(&group);
    assert_eq!((stored.len(), numbers(&stored)), (1, [7].into()), "{stored:?}");
}

#[test]
fn one_failed_request_in_a_hundred_is_a_retry_each() {
    let pace = Pace { flush_interval: Duration::from_millis(5), ..scaled() };
    let Some(mut rig) = Rig::start("one-percent", pace, None) else { return };
    rig.faults
        .puts(|request| if request.number % 100 == 50 { Fault::error(500, "InternalFailure") } else { Fault::None });
    let end = Instant::now() + DEADLINE;
    while rig.faults.seen("PutLogEvents") < 320 && Instant::now() < end {
        rig.push(20);
        std::thread::sleep(Duration::from_millis(5));
    }
    let counts = rig.settle_complete();
    let failed = requests(&counts, ShipperOutcome::ServerError);
    assert!((3..=5).contains(&failed), "{counts:?}");
}

#[test]
fn answers_that_take_five_seconds_are_waited_for_side_by_side() {
    // Not scaled: production's times, and lines as heavy as those of 1000 requests a second.
    let Some(mut rig) = Rig::start("slow", Pace::default(), None) else { return };
    rig.faults.puts(|_| Fault::Delay(Duration::from_secs(5)));
    let longest = rig.push_for(Duration::from_secs(8), 200);
    let counts = rig.settle_complete();
    assert_eq!(counts.dropped_total(), 0, "{counts:?}");
    assert_eq!(requests(&counts, ShipperOutcome::Timeout), 0, "{counts:?}");
    assert!(longest < PUSH_MAX, "a line took {longest:?}");
}

#[test]
fn answers_that_never_come_are_timed_out_and_tried_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let pace = Pace { attempt_timeout: Duration::from_secs(1), ..scaled() };
    let Some(mut rig) = Rig::start("never", pace, Some(directory.path())) else { return };
    rig.faults.puts(|request| if request.number < 3 { Fault::Delay(Duration::from_secs(600)) } else { Fault::None });
    rig.push(50);
    let counts = rig.settle_complete();
    assert!(requests(&counts, ShipperOutcome::Timeout) >= 3, "{counts:?}");
}

#[test]
fn poison_events_are_found_by_halving_and_all_others_arrive() {
    let Some(mut rig) = Rig::start("poison", scaled(), None) else { return };
    let poison = ["\\\"number\\\":17,", "\\\"number\\\":500,", "\\\"number\\\":999,"];
    rig.faults.puts(move |request| {
        let refused = poison.iter().any(|text| request.body.contains(text));
        if refused { Fault::error(400, "InvalidParameterException") } else { Fault::None }
    });
    rig.push(1000);
    let counts = rig.settle();
    assert_eq!(counts.rejected[ShipperReject::Refused as usize], 3, "{counts:?}");
    assert_eq!(counts.delivered, 997);
    let stored = numbers(&rig.stored());
    assert_eq!((0..1000).filter(|number| !stored.contains(number)).collect::<Vec<u64>>(), [17, 500, 999]);
    assert!(requests(&counts, ShipperOutcome::Refused) < 60, "halving, not one by one: {counts:?}");
}

#[test]
fn a_hundred_poison_events_cost_none_of_their_neighbours() {
    let Some(mut rig) = Rig::start("much-poison", scaled(), None) else { return };
    rig.faults.puts(move |request| {
        // Scattered among the first five hundred, and side by side behind them.
        let numbers = request.body.split("\\\"number\\\":").skip(1);
        let mut numbers = numbers.filter_map(|rest| rest.split(',').next()?.parse::<u64>().ok());
        let is_poison = |number| number % 10 == 7 && number < 500 || (700..750).contains(&number);
        if numbers.any(is_poison) { Fault::error(400, "InvalidParameterException") } else { Fault::None }
    });
    rig.push(1000);
    // Hundreds of requests one after the other: more time than others need, for a machine that is busy with other tests.
    assert!(rig.shipper().flush(4 * DEADLINE), "{:?}", rig.counts());
    let counts = rig.settle();
    assert_eq!(counts.rejected[ShipperReject::Refused as usize], 100, "{counts:?}");
    assert_eq!((counts.delivered, numbers(&rig.stored()).len()), (900, 900), "{counts:?}");
    assert!(requests(&counts, ShipperOutcome::Refused) < 1000, "halving, not one by one: {counts:?}");
}

#[test]
fn a_server_that_refuses_everything_is_not_asked_for_ever() {
    let Some(mut rig) = Rig::start("refused", scaled(), None) else { return };
    rig.faults.puts(|_| Fault::error(400, "InvalidParameterException"));
    rig.push(5000);
    let counts = rig.settle();
    assert_eq!(counts.rejected[ShipperReject::Refused as usize], 5000, "{counts:?}");
    assert!(requests(&counts, ShipperOutcome::Refused) < 2000, "{counts:?}");
}

#[test]
fn a_clock_that_jumps_neither_loses_nor_blocks_lines() {
    let Some(rig) = Rig::start("clock", scaled(), None) else { return };
    let now = SystemTime::now();
    let hours = |hours: u64| Duration::from_secs(3600 * hours);
    // Forward within the two hours that are taken, far ahead, back by days within the fourteen, and now again.
    let moments = [now, now + hours(1), now + hours(3), now - hours(26), now - hours(100), now - hours(50), now];
    for (number, moment) in moments.iter().enumerate() {
        let line = format!("{{\"number\":{number}}}");
        rig.shipper().push(*moment, Level::INFO, line.as_bytes());
    }
    let counts = rig.settle();
    assert_eq!(counts.rejected[ShipperReject::TooNew as usize], 1, "{counts:?}");
    assert_eq!((counts.produced, counts.delivered), (7, 6), "{counts:?}");
    assert!(
        requests(&counts, ShipperOutcome::Refused) == 0,
        "no request spans more than a day or is out of order: {counts:?}"
    );
    assert_eq!(numbers(&rig.stored()), [0, 1, 3, 4, 5, 6].into());
}

#[test]
fn an_accepting_answer_that_rejects_events_is_read() {
    // Synthesized: moto's own index of the too old is one short of AWS's.
    let Some(mut rig) = Rig::start("rejected", scaled(), None) else { return };
    let info = json!({ "rejectedLogEventsInfo": {
        "tooOldLogEventEndIndex": 2, "expiredLogEventEndIndex": 5, "tooNewLogEventStartIndex": 9 } });
    rig.faults.puts(move |_| Fault::Answer(200, info.to_string()));
    rig.push(10);
    assert!(rig.shipper().flush(DEADLINE));
    let counts = rig.counts();
    let mut expected = [0; ShipperReject::ALL.len()];
    expected[ShipperReject::TooOld as usize] = 2;
    expected[ShipperReject::Expired as usize] = 3;
    expected[ShipperReject::TooNew as usize] = 1;
    assert_eq!((counts.rejected, counts.delivered), (expected, 4));
}

#[test]
fn expired_credentials_and_missing_rights_are_waited_out() {
    let Some(mut rig) = Rig::start("credentials", scaled(), None) else { return };
    rig.faults.rule(|request| match request.number {
        0 => Fault::error(400, "ExpiredTokenException"),
        1 => Fault::error(403, "AccessDeniedException"),
        _ => Fault::None,
    });
    rig.push(10);
    let counts = rig.settle_complete();
    assert!(requests(&counts, ShipperOutcome::Credentials) >= 2, "{counts:?}");
}
