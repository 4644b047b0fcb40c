//! The form of a log line, whatever is in it.

use std::{fmt, time::Duration};

use proptest::prelude::*;
use serde_json::{Value, json};
use telemetry::{
    catalogue::{HTTP_REQUEST, Synthetic, TOP_LEVEL_FIELDS},
    context::RequestContext,
    logs::{HttpRequestEvent, Outcome as RequestOutcome},
    trace_context::TraceContext,
};

use crate::support::{DEADLINE, Outcome, Output, lines_of, settings};

fn request(status: u16) -> HttpRequestEvent<'static> {
    HttpRequestEvent {
        method: "GET",
        route: "/api/v1/tasks/{id}",
        path: "/api/v1/tasks/0197c3a5-6f2e-7cc0-9b1e-2f6d3c1a5b77",
        status,
        duration: Duration::from_nanos(1_234_567),
        db_time: Duration::from_micros(500),
        db_queries: 2,
        user_id: Some(uuid::Uuid::nil()),
        client_address: Some([127, 0, 0, 1].into()),
        bytes: 99,
        outcome: RequestOutcome::Answered,
        synthetic: Synthetic::Canary,
        cause: None,
    }
}

#[test]
fn a_line_has_the_top_level_fields_and_the_events_own() -> Outcome {
    let lines = lines_of(|| tracing::info!(target: "here", count = 3, "hello {}", "you"))?;
    let [line] = lines.as_slice() else { panic!("one line, got {lines:?}") };
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["message"], "hello you");
    assert_eq!(line["target"], "here");
    assert_eq!(line["service"], "task-api");
    assert_eq!(line["version"], "1.2.3");
    assert_eq!(line["environment"], "te\"st");
    assert_eq!(line["count"], 3);
    let time = line["timestamp"].as_str().unwrap_or_default();
    assert!(time.len() == 27 && time.ends_with('Z') && time.parse::<jiff::Timestamp>().is_ok(), "{time}");
    assert!(line.get("trace_id").is_none() && line.get("request_id").is_none());
    Ok(())
}

#[test]
fn within_a_request_a_line_has_its_ids() -> Outcome {
    let mut trace = TraceContext::new_root();
    trace.sampled = true;
    let context = RequestContext::new("id-1".to_owned(), trace);
    let lines = lines_of(|| context.sync_scope(|| tracing::warn!("x")))?;
    assert_eq!(lines[0]["trace_id"], trace.trace_id_hex());
    assert_eq!(lines[0]["span_id"], trace.span_id_hex());
    assert_eq!(lines[0]["trace_flags"], "01");
    assert_eq!(lines[0]["request_id"], "id-1");
    Ok(())
}

#[test]
fn numbers_stay_numbers_and_what_json_cannot_say_is_null() -> Outcome {
    let lines = lines_of(|| {
        tracing::info!(a = -1_i64, b = u64::MAX, c = 0.5, d = f64::NAN, e = f64::NEG_INFINITY, f = 1e300, g = true);
    })?;
    let expected = [("a", json!(-1)), ("b", json!(u64::MAX)), ("c", json!(0.5)), ("d", Value::Null)];
    for (name, value) in expected.into_iter().chain([("e", Value::Null), ("f", json!(1e300)), ("g", json!(true))]) {
        assert_eq!(lines[0].get(name), Some(&value), "{name}");
    }
    assert_eq!(lines[0]["message"], "");
    Ok(())
}

#[test]
fn a_field_cannot_pose_as_the_top_level() -> Outcome {
    let lines = lines_of(|| {
        tracing::info!(timestamp = 1, level = "x", service = "x", trace_id = "x", request_id = "x", r#type = "y", "m");
    })?;
    for name in ["timestamp", "level", "service", "trace_id", "request_id"] {
        assert!(lines[0].get(format!("field_{name}")).is_some(), "{name}");
        assert!(TOP_LEVEL_FIELDS.contains(&name));
    }
    assert_eq!(lines[0]["service"], "task-api");
    assert_eq!(lines[0]["type"], "y");
    Ok(())
}

#[test]
fn an_error_is_written_with_its_causes() -> Outcome {
    #[derive(Debug)]
    struct Outer(fmt::Error);
    impl fmt::Display for Outer {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("outer")
        }
    }
    impl std::error::Error for Outer {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }
    let outer = Outer(fmt::Error);
    let lines = lines_of(|| tracing::error!(error = &outer as &(dyn std::error::Error + 'static)))?;
    assert_eq!(lines[0]["error"], format!("outer: {}", fmt::Error));
    Ok(())
}

#[test]
fn a_field_that_logs_while_it_is_formatted_does_not_harm_its_line() -> Outcome {
    struct Chatty;
    impl fmt::Debug for Chatty {
        fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            tracing::info!("inner");
            formatter.write_str("outer")
        }
    }
    let output = Output::default();
    let (telemetry, dispatch) = telemetry::build(settings("info"), Box::new(output.clone()))?;
    tracing::dispatcher::with_default(&dispatch, || tracing::info!(field = ?Chatty));
    assert!(telemetry.shutdown(DEADLINE).complete);
    // Whether the inner event is written is tracing's decision: a thread's own dispatcher mutes it.
    assert!(output.lines()?.iter().any(|line| line["field"] == "outer"));
    Ok(())
}

#[test]
fn an_overlong_value_is_cut_and_says_so() -> Outcome {
    let long = "\u{1}".repeat(1_000_000);
    let lines = lines_of(|| tracing::info!(long, "short"))?;
    assert_eq!(lines[0]["truncated"], true);
    assert_eq!(lines[0]["long"].as_str().map(str::len), Some(16 * 1024));
    Ok(())
}

#[test]
fn the_canonical_line_has_exactly_the_fields_of_the_catalogue() -> Outcome {
    let lines = lines_of(|| {
        request(200).emit();
        HttpRequestEvent { cause: Some("no such table"), ..request(500) }.emit();
        HttpRequestEvent { user_id: None, client_address: None, synthetic: Synthetic::None, ..request(404) }.emit();
        request(503).emit();
        HttpRequestEvent { cause: Some("panicked at x.rs:1:2: what"), ..request(499) }.emit();
    })?;
    let levels: Vec<_> = lines.iter().filter_map(|line| line["level"].as_str()).collect();
    assert_eq!(levels, ["INFO", "ERROR", "INFO", "ERROR", "ERROR"]);
    let known: &[&str] = &["user_id", "client_address", "synthetic"];
    assert_eq!(HTTP_REQUEST.optional, [known, &["cause"]].concat());
    for (line, optional) in lines.iter().zip([known, HTTP_REQUEST.optional, &[], known, HTTP_REQUEST.optional]) {
        let mut own: Vec<_> = line.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        own.retain(|name| !TOP_LEVEL_FIELDS.contains(name) && !["message", "event"].contains(name));
        let mut expected = [HTTP_REQUEST.fields, optional].concat();
        own.sort_unstable();
        expected.sort_unstable();
        assert_eq!(own, expected);
    }
    let line = &lines[0];
    assert_eq!(line["event"], "http_request");
    assert_eq!(line["target"], "http");
    assert_eq!(line["status"], 200);
    assert_eq!(line["duration_ms"], 1.234);
    assert_eq!(line["db_time_ms"], 0.5);
    assert_eq!(line["user_id"], "00000000-0000-0000-0000-000000000000");
    assert_eq!(line["client_address"], "127.0.0.1");
    assert_eq!(line["synthetic"], "canary");
    assert_eq!(line["outcome"], "answered");
    Ok(())
}

#[test]
fn the_level_changes_while_the_process_runs_and_a_bad_one_changes_nothing() -> Outcome {
    let output = Output::default();
    let (telemetry, dispatch) = telemetry::build(settings("warn"), Box::new(output.clone()))?;
    tracing::dispatcher::with_default(&dispatch, || {
        tracing::info!("hidden");
        assert!(telemetry.log_control.set("verbose").is_err());
        assert_eq!(telemetry.log_control.get(), "warn");
        tracing::info!("hidden");
        assert_eq!(telemetry.log_control.set(" info,noisy=off "), Ok(()));
        tracing::info!("seen");
        tracing::info!(target: "noisy", "hidden");
    });
    telemetry.shutdown(DEADLINE);
    assert_eq!(telemetry.log_control.get(), "info,noisy=off");
    let lines = output.lines()?;
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0]["message"], "seen");
    Ok(())
}

#[test]
fn a_bad_filter_ends_the_start_and_names_its_variable() {
    let error = telemetry::build(settings("loud"), Box::new(Output::default())).map(|_| ()).err();
    let Some(error) = error else { panic!("a filter of one unknown word was taken") };
    assert_eq!(error.variable(), Some("RUST_LOG"));
    let text = error.to_string();
    assert!(text.contains("RUST_LOG") && text.contains("\"loud\"") && text.contains("debug"), "{text}");
}

#[test]
fn pretty_lines_go_through_the_same_writer_without_colours_off_a_terminal() -> Outcome {
    let output = Output::default();
    let pretty = telemetry::Settings { format: telemetry::LogFormat::Pretty, ..settings("info") };
    let (telemetry, dispatch) = telemetry::build(pretty, Box::new(output.clone()))?;
    tracing::dispatcher::with_default(&dispatch, || tracing::info!(count = 3, "two\nlines"));
    let report = telemetry.shutdown(DEADLINE);
    assert_eq!((report.complete, report.log_lines_written), (true, 1));
    let text = output.text();
    assert!(text.contains("INFO") && text.contains("count=3") && !text.contains('\u{1b}'), "{text}");
    Ok(())
}

proptest! {
    #[test]
    fn hostile_contents_stay_within_their_field(
        message: String, text: String, shown: String, id in "[^\\r\\n]{0,40}", number: i64, float: f64,
    ) {
        let context = RequestContext::new(id.clone(), TraceContext::new_root());
        let lines = lines_of(|| context.sync_scope(|| {
            tracing::info!(text, debug = ?shown, number, float, "{message}");
        }));
        let Ok(lines) = lines else { return Err(TestCaseError::fail(format!("{lines:?}"))) };
        prop_assert_eq!(lines.len(), 1);
        prop_assert_eq!(&lines[0]["message"], &json!(message));
        prop_assert_eq!(&lines[0]["text"], &json!(text));
        prop_assert_eq!(&lines[0]["debug"], &json!(format!("{shown:?}")));
        prop_assert_eq!(&lines[0]["request_id"], &json!(id));
        prop_assert_eq!(&lines[0]["number"], &json!(number));
        // serde_json reads the last digit of a number only roughly.
        let read = lines[0]["float"].as_f64();
        prop_assert!(read.map_or(!float.is_finite(), |read| (read - float).abs() <= float.abs() * 1e-15 + f64::MIN_POSITIVE), "{:?}", read);
        prop_assert_eq!(lines[0].as_object().map(serde_json::Map::len), Some(15));
    }
}
