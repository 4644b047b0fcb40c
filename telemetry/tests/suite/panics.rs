//! A panic becomes a line that says where, and what as far as that may be told.

use std::panic::{self, AssertUnwindSafe};

use telemetry::{catalogue::PANICKED, context::RequestContext, panics, trace_context::TraceContext};

use crate::support::{Outcome, lines_of};

#[test]
fn a_panic_is_one_line_with_its_place_and_its_redacted_text() -> Outcome {
    let context = RequestContext::new("of-this-request".to_owned(), TraceContext::new_root());
    let lines = lines_of(|| {
        let before = panic::take_hook();
        panics::install(None);
        let panicked =
            context.sync_scope(|| panic::catch_unwind(AssertUnwindSafe(|| panic!("no such key: token=planted"))));
        panic::set_hook(before);
        assert!(panicked.is_err());
    })?;
    assert_eq!(lines.len(), 1, "{lines:?}");
    let line = &lines[0];
    assert_eq!((&line["level"], &line["event"]), (&"ERROR".into(), &"panicked".into()));
    assert!(line["location"].as_str().is_some_and(|place| place.contains("panics.rs:")), "{line}");
    assert_eq!(line["panic"], "no such key: token=[redacted]");
    assert!(PANICKED.fields.iter().all(|field| line[*field].is_string()), "{line}");
    assert_eq!(line["request_id"], "of-this-request");
    assert!(!line.to_string().contains("planted"), "{line}");
    Ok(())
}
