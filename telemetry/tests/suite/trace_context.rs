//! Reading and writing trace context.

use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use telemetry::trace_context::TraceContext;

use crate::support::now_seconds;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
const AMZN: &str = "Root=1-67891233-abcdef012345678912345678";

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.append(HeaderName::from_static(name), value);
        }
    }
    headers
}

fn of_traceparent(value: &str) -> TraceContext {
    TraceContext::from_headers(&headers(&[("traceparent", value)]))
}

fn of_amzn(value: &str) -> TraceContext {
    TraceContext::from_headers(&headers(&[("x-amzn-trace-id", value)]))
}

#[test]
fn a_callers_trace_goes_on_under_a_span_of_ours() {
    let context = of_traceparent(&format!("00-{TRACE}-{PARENT}-01"));
    assert_eq!(context.trace_id_hex(), TRACE);
    assert_eq!(context.parent_span_id.map(|id| id.map(u64::from)), Some([0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 2, 0xb7]));
    assert_ne!(context.span_id_hex(), PARENT);
    assert!(context.sampled);
    let out = context.traceparent();
    assert_eq!(out, format!("00-{TRACE}-{}-01", context.span_id_hex()));
    assert!(!of_traceparent(&format!("00-{TRACE}-{PARENT}-02")).sampled, "only the lowest bit says sampled");
}

#[test]
fn a_later_version_is_read_as_far_as_we_know_it() {
    for value in [format!("01-{TRACE}-{PARENT}-01"), format!("cc-{TRACE}-{PARENT}-01-what-the-future-holds")] {
        assert_eq!(of_traceparent(&value).trace_id_hex(), TRACE, "{value}");
    }
}

#[test]
fn a_traceparent_against_the_specification_starts_a_new_trace() {
    for value in [
        format!("ff-{TRACE}-{PARENT}-01"),
        format!("00-{TRACE}-{PARENT}-01-more"),
        format!("00-{TRACE}-{PARENT}-01-"),
        format!("01-{TRACE}-{PARENT}-01more"),
        format!("00-{}-{PARENT}-01", TRACE.to_uppercase()),
        format!("00-{}-{PARENT}-01", "0".repeat(32)),
        format!("00-{TRACE}-{}-01", "0".repeat(16)),
        format!("00-{TRACE}-{PARENT}-0"),
        format!("00-{TRACE}-{PARENT}-0x"),
        format!("00_{TRACE}-{PARENT}-01"),
        format!("0-{TRACE}-{PARENT}-01"),
        String::new(),
    ] {
        let context = of_traceparent(&value);
        assert_ne!(context.trace_id_hex(), TRACE, "{value}");
        assert_eq!((context.parent_span_id, context.sampled), (None, false), "{value}");
    }
    let one = format!("00-{TRACE}-{PARENT}-01");
    let twice = TraceContext::from_headers(&headers(&[("traceparent", &one), ("traceparent", &one)]));
    assert_ne!(twice.trace_id_hex(), TRACE, "two headers are none");
}

#[test]
fn the_load_balancers_header_is_read_in_all_its_forms() {
    let id = "67891233abcdef012345678912345678";
    let itself = format!("Self=1-67891234-12456789abcdef012345678f;{AMZN};Parent={PARENT};Sampled=1");
    for (value, parent, sampled) in [
        (AMZN.to_owned(), false, false),
        (format!("{AMZN};Parent={PARENT};Sampled=1"), true, true),
        (format!("{AMZN}; Sampled=0; Lineage=a87bd80c:0"), false, false),
        (itself, true, true),
        (format!("{AMZN};Parent=nonsense;Sampled=?"), false, false),
    ] {
        let context = of_amzn(&value);
        assert_eq!(context.trace_id_hex(), id, "{value}");
        assert_eq!((context.parent_span_id.is_some(), context.sampled), (parent, sampled), "{value}");
    }
    for value in ["", "Root=", "Root=1-67891233", "Root=2-67891233-abcdef012345678912345678", "Self=1", "root=1"] {
        assert_ne!(of_amzn(value).trace_id_hex(), id, "{value}");
    }
}

#[test]
fn traceparent_wins_and_a_broken_one_leaves_it_to_the_load_balancer() {
    let good = format!("00-{TRACE}-{PARENT}-00");
    for (traceparent, expected) in [(good.as_str(), TRACE), ("broken", "67891233abcdef012345678912345678")] {
        let both = headers(&[("traceparent", traceparent), ("x-amzn-trace-id", AMZN)]);
        assert_eq!(TraceContext::from_headers(&both).trace_id_hex(), expected);
    }
}

#[test]
fn a_new_trace_begins_with_the_time_as_x_ray_wants_it() {
    let context = TraceContext::from_headers(&HeaderMap::new());
    let [a, b, c, d, ..] = context.trace_id;
    let now = now_seconds();
    assert!(now.abs_diff(u32::from_be_bytes([a, b, c, d]).into()) < 5);
    assert_ne!(context.trace_id, TraceContext::new_root().trace_id);
}

proptest! {
    #[test]
    fn what_we_send_reads_back_as_a_child_of_our_span(trace_id: [u8; 16], span_id: [u8; 8], sampled: bool) {
        prop_assume!(trace_id != [0; 16] && span_id != [0; 8]);
        let ours = TraceContext { trace_id, span_id, parent_span_id: None, parent_sampled: None, sampled };
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", ours.traceparent());
        let theirs = TraceContext::from_headers(&headers);
        prop_assert_eq!(theirs.trace_id, trace_id);
        prop_assert_eq!(theirs.parent_span_id, Some(span_id));
        prop_assert_eq!(theirs.sampled, sampled);
        prop_assert!(theirs.span_id != [0; 8] && theirs.span_id != span_id);
    }

    #[test]
    fn no_header_panics(a in any::<Vec<u8>>(), b in "(Root=1-|Parent=|Self=|[0-9a-f]{1,25}|-|;|ä){0,9}") {
        let mut headers = HeaderMap::new();
        for (name, bytes) in [("traceparent", a.as_slice()), ("x-amzn-trace-id", b.as_bytes())] {
            HeaderValue::from_bytes(bytes).into_iter().for_each(|value| drop(headers.insert(name, value)));
        }
        prop_assert!(TraceContext::from_headers(&headers).trace_id != [0; 16]);
    }
}
