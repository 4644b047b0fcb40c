//! The bounded writer: nobody waits for it, and every line is accounted for.

use std::{
    io::ErrorKind,
    thread,
    time::{Duration, Instant},
};

use telemetry::{
    catalogue::DropReason,
    logs::{LOG_BUFFER_BYTES_MAX, LOG_BUFFER_ERROR_RESERVE, LogStats},
};
use tracing::{Dispatch, dispatcher::with_default};

use crate::support::{DEADLINE, Outcome, Output, pause, start};

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < end, "in vain: {what}");
        pause(Duration::from_millis(1));
    }
}

/// Writes lines at INFO until some are dropped; returns the longest that one took.
fn fill(dispatch: &Dispatch, stats: &LogStats) -> Duration {
    let filler = "x".repeat(4000);
    let mut longest = Duration::ZERO;
    with_default(dispatch, || {
        while stats.dropped(DropReason::QueueFull) < 1000 {
            let start = Instant::now();
            tracing::info!(filler, "fill");
            longest = longest.max(start.elapsed());
        }
    });
    longest
}

#[test]
fn lines_of_many_threads_come_out_whole_and_all_are_counted() -> Outcome {
    const THREADS: u64 = 8;
    const LINES: u64 = 20_000;
    let output = Output::default();
    output.take_at_most(10_007);
    let (telemetry, dispatch) = start(&output)?;
    thread::scope(|scope| {
        for worker in 0..THREADS {
            let dispatch = &dispatch;
            scope.spawn(move || {
                with_default(dispatch, || (0..LINES).for_each(|line| tracing::info!(worker, line, "count me")));
            });
        }
    });
    let report = telemetry.shutdown(DEADLINE);
    let lines = output.lines()?;
    let own = lines.iter().filter(|line| line["message"] == "count me").count() as u64;
    let summarized: u64 = lines.iter().filter_map(|line| line["lines"].as_u64()).sum();
    let stats = &telemetry.log_stats;
    assert!(report.complete);
    assert_eq!(own + stats.dropped(DropReason::QueueFull), THREADS * LINES);
    assert_eq!(lines.len() as u64, report.log_lines_written);
    assert!(summarized <= stats.dropped_total());
    assert_eq!(stats.produced(), report.log_lines_written + report.log_lines_dropped + report.log_lines_left);
    Ok(())
}

#[test]
fn a_blocked_output_blocks_nobody_and_errors_have_room_reserved() -> Outcome {
    let output = Output::default();
    output.block(true);
    let (telemetry, dispatch) = start(&output)?;
    let stats = &telemetry.log_stats;
    let longest = fill(&dispatch, stats);
    assert!(longest < Duration::from_secs(1), "one line took {longest:?}");
    let full = LOG_BUFFER_BYTES_MAX - LOG_BUFFER_ERROR_RESERVE;
    assert!(stats.queue_bytes() <= full as u64 && stats.queue_bytes() > full as u64 - 5000);

    let dropped = stats.dropped(DropReason::QueueFull);
    with_default(&dispatch, || (0..100).for_each(|_| tracing::error!("why it happened")));
    assert_eq!(stats.dropped(DropReason::QueueFull), dropped, "the reserve takes errors");
    with_default(&dispatch, || (0..20_000).for_each(|_| tracing::error!("why it happened")));
    assert!(stats.dropped(DropReason::QueueFull) > dropped, "the reserve is bounded as well");
    assert!(stats.queue_bytes() <= LOG_BUFFER_BYTES_MAX as u64);

    let start = Instant::now();
    let report = telemetry.shutdown(Duration::from_millis(200));
    assert!(!report.complete && report.log_lines_left > 0, "{report:?}");
    assert!(start.elapsed() < Duration::from_secs(2), "the deadline holds");

    output.block(false);
    assert!(telemetry.shutdown(DEADLINE).complete);
    let summary = || output.text().contains("log_lines_dropped");
    wait_until("a summary of the lost lines", summary);
    assert!(telemetry.shutdown(DEADLINE).complete);
    let lines = output.lines()?;
    let summary = lines.iter().find(|line| line["event"] == "log_lines_dropped");
    let Some(summary) = summary else { panic!("no line says what was lost") };
    assert_eq!(summary["lines"].as_u64(), Some(stats.dropped(DropReason::QueueFull)));
    assert_eq!(summary["level"], "WARN");
    let moment = |name: &str| summary[name].as_str().unwrap_or_default().parse::<jiff::Timestamp>();
    assert!(moment("first_dropped_at")? <= moment("last_dropped_at")?);
    assert_eq!(stats.queue_bytes(), 0);
    Ok(())
}

#[test]
fn a_failing_output_is_counted_and_not_hammered() -> Outcome {
    let output = Output::default();
    let (telemetry, dispatch) = start(&output)?;
    let stats = &telemetry.log_stats;
    output.script(vec![Some(ErrorKind::BrokenPipe); 100_000]);
    let end = Instant::now() + Duration::from_millis(500);
    let mut produced = 0;
    with_default(&dispatch, || {
        while Instant::now() < end {
            tracing::info!("lost");
            produced += 1;
            pause(Duration::from_micros(50));
        }
    });
    assert!(telemetry.shutdown(DEADLINE).complete, "failed lines are done with");
    assert!(output.writes() < 60, "{} attempts in half a second", output.writes());
    assert!(stats.dropped(DropReason::WriteFailed) >= produced);

    output.script([]);
    with_default(&dispatch, || tracing::info!("found"));
    wait_until("a summary of the lost lines", || output.text().contains("log_lines_dropped"));
    assert!(telemetry.shutdown(DEADLINE).complete);
    let lines = output.lines()?;
    let reported: u64 = lines.iter().filter_map(|line| line["lines"].as_u64()).sum();
    assert_eq!(reported, produced, "each lost line of ours is reported once, lost summaries are not");
    Ok(())
}

#[test]
fn after_an_error_within_a_line_the_next_line_stands_alone() -> Outcome {
    let output = Output::default();
    output.take_at_most(10);
    let (telemetry, dispatch) = start(&output)?;
    // Ten bytes are taken, two errors are no reason to give up, the third is, and so is one before the line break.
    let full = Some(ErrorKind::StorageFull);
    output.script([None, Some(ErrorKind::Interrupted), Some(ErrorKind::WouldBlock), full, full]);
    with_default(&dispatch, || tracing::info!("torn"));
    assert!(telemetry.shutdown(DEADLINE).complete);
    assert_eq!(telemetry.log_stats.dropped(DropReason::WriteFailed), 1);
    wait_until("the line after", || {
        with_default(&dispatch, || tracing::info!("whole"));
        telemetry.shutdown(DEADLINE);
        output.text().contains("whole")
    });
    wait_until("a summary", || output.text().contains("log_lines_dropped") && output.text().ends_with('\n'));
    let text = output.text();
    let mut lines = text.lines();
    assert_eq!(lines.next().map(str::len), Some(10), "{text}");
    for line in lines {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
    }
    Ok(())
}

#[test]
fn a_line_is_written_soon_and_an_idle_writer_sleeps() -> Outcome {
    let output = Output::default();
    let (telemetry, dispatch) = start(&output)?;
    with_default(&dispatch, || tracing::info!("soon"));
    let start = Instant::now();
    wait_until("the line", || telemetry.log_stats.written() == 1);
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!(output.writes(), 1);
    Ok(())
}

#[test]
fn dropping_the_telemetry_delivers_what_is_left() -> Outcome {
    let output = Output::default();
    let (telemetry, dispatch) = start(&output)?;
    with_default(&dispatch, || tracing::info!("last words"));
    drop(telemetry);
    assert!(output.text().contains("last words"));
    Ok(())
}
