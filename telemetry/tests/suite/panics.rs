//! A panic becomes a line that says where, and what as far as that may be told.

use std::panic::{self, AssertUnwindSafe};

use telemetry::{catalogue::PANICKED, context::RequestContext, panics, trace_context::TraceContext};

use crate::support::{Outcome, lines_of};

#[test]
fn a_panic_is_one_line_with_its_place_and_its_redacted_text() -> Outcome {
    let context = RequestContext::new("of-this-request".to_owned(), TraceContext::new_root());
    let panics = || assert!(panic::catch_unwind(AssertUnwindSafe(|| panic!("no such key: token=planted"))).is_err());
    let lines =
        lines_of(|| {
            let before = panic::take_hook();
            panics::install(None);
            context.clone().sync_scope(panics);
            let taken = context.take_panic().map(|panic| panic.to_string());
            assert!(taken.is_some_and(
                |text| text.starts_with("panicked at ") && text.ends_with(": no such key: token=[redacted]")
            ));
            context.sync_scope(panics);
            panics();
            panic::set_hook(before);
        })?;
    // Within a request its own line is the one at ERROR; after that, and without one, nobody else would say it.
    let levels: Vec<_> = lines.iter().filter_map(|line| line["level"].as_str()).collect();
    assert_eq!(levels, ["WARN", "ERROR", "ERROR"], "{lines:?}");
    let line = &lines[0];
    assert_eq!(line["event"], "panicked");
    assert!(line["location"].as_str().is_some_and(|place| place.contains("panics.rs:")), "{line}");
    assert_eq!(line["panic"], "no such key: token=[redacted]");
    assert!(PANICKED.fields.iter().all(|field| line[*field].is_string()), "{line}");
    assert_eq!(line["request_id"], "of-this-request");
    assert!(!line.to_string().contains("planted"), "{line}");
    Ok(())
}
