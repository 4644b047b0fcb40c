//! The catalogue as a page for people, `docs/telemetry.md`: a pure function of what is declared beside it.

use std::fmt::Write;

use super::{
    CANARY_EVENTS, CANARY_METRICS, EMF_NAMESPACES, EmfMetric, EmfNamespace, Kind, LOG_EVENTS, LogEvent, METRICS,
    Metric, SPANS, SpanDefinition, TOP_LEVEL_FIELDS, Values,
};

/// Where the page stands in the repository.
pub const REFERENCE_PATH: &str = "docs/telemetry.md";

/// Headings of the metrics, each with what its names begin with. A test holds that every metric has exactly one.
const AREAS: &[(&str, &[&str])] = &[
    ("Requests", &["http_"]),
    ("Database", &["db_", "sqlite_"]),
    ("What users do", &["tasks_", "auth_"]),
    ("Runtime", &["tokio_"]),
    ("Process and build", &["process_", "build_info", "panics_"]),
    ("Telemetry itself", &["telemetry_", "sentry_", "log_shipper_"]),
];

// Writing to a string cannot fail, hence the results that are ignored here.

/// The page, as Markdown.
pub fn reference() -> String {
    let mut out = String::from(
        "<!-- Rendered by `cargo run -p ops -- render` from `telemetry/src/catalogue/`: change it there. -->\n\n\
         # What the Task API says of itself\n\n\
         Every metric, span and log event there is. Nothing else is emitted, and nothing here is never emitted: tests \
         compare this catalogue with what the running service writes, both ways.\n\n\
         ## Metrics\n\n\
         At `GET /metrics` of the admin listener, in Prometheus' text format 0.0.4; in OpenMetrics 1.0 where `Accept` prefers it, and then the request \
         histogram has exemplars (`trace_id`, `span_id`) of recorded traces. Known series start at 0; those of synthetic \
         requests appear with the first. Units are UCUM's: \
         `s` is seconds, `By` bytes, `{…}` a count of what it names. The last column is the most sample lines that a metric can \
         take, each label at its bound.\n",
    );
    for (heading, prefixes) in AREAS {
        let metrics = METRICS.iter().copied().filter(|metric| in_area(metric, prefixes));
        area(&mut out, heading, &metrics.collect::<Vec<_>>());
    }
    bound(&mut out);
    out.push_str(
        "\n## Spans\n\nOver OTLP (HTTP, protobuf, gzip), where `OTEL_EXPORTER_OTLP_ENDPOINT` names a collector.\n",
    );
    SPANS.iter().for_each(|definition| span(&mut out, definition));
    events(&mut out);
    emf(&mut out);
    canary(&mut out);
    out
}

fn in_area(metric: &Metric, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| metric.name.starts_with(prefix))
}

fn area(out: &mut String, heading: &str, metrics: &[&Metric]) {
    let _ = write!(out, "\n### {heading}\n\n| metric | kind | unit | labels | what it says | lines |\n");
    out.push_str("| --- | --- | --- | --- | --- | ---: |\n");
    for metric in metrics {
        let labels = metric.labels.iter().map(|label| code(label.name)).collect::<Vec<_>>().join(", ");
        let (name, kind, unit, help) = (code(metric.name), metric.kind.as_str(), code(metric.unit), cell(metric.help));
        let _ = writeln!(out, "| {name} | {kind} | {unit} | {labels} | {help} | {} |", metric.series_max(|_| None));
    }
    let mut notes = String::new();
    for metric in metrics {
        for label in metric.labels {
            let values = match label.values {
                Values::Closed(values) => values.iter().map(|value| value_of(value)).collect::<Vec<_>>().join(", "),
                Values::Bounded { what, at_most } => format!("{what}; at most {at_most}"),
            };
            let _ = writeln!(notes, "- `{}` of `{}`: {values}", label.name, metric.name);
        }
        if metric.kind == Kind::Histogram {
            let buckets = metric.buckets.iter().map(|edge| format!("{edge:?}")).collect::<Vec<_>>().join(", ");
            let _ = writeln!(notes, "- Buckets of `{}`: {buckets}", metric.name);
        }
    }
    if !notes.is_empty() {
        let _ = write!(out, "\n{notes}");
    }
}

fn bound(out: &mut String) {
    let most: usize = METRICS.iter().map(|metric| metric.series_max(|_| None)).sum();
    let _ = write!(
        out,
        "\n### The bound\n\n\
         An exposition never has more than {most} sample lines: each label holds a closed set, or a list that the program fixes at \
         its start and whose length is bounded above. The running service computes the bound for its own routes and operations, \
         and exports it as `telemetry_series_max` beside the lines that there are, `telemetry_series`. Never a path, a host, an \
         address or an id is a label.\n"
    );
}

fn span(out: &mut String, definition: &SpanDefinition) {
    let SpanDefinition { name, kind, attributes, optional, help } = definition;
    let _ = write!(out, "\n### `{name}`\n\nKind {kind}. {help}\n\n");
    let _ = writeln!(out, "- Always: {}", codes(attributes));
    let _ = writeln!(out, "- When there is something to say: {}", codes(optional));
}

fn events(out: &mut String) {
    out.push_str(
        "\n## Log lines\n\nOne JSON object a line, on standard output and, where that is asked for, in CloudWatch Logs.\n\n\
         | top-level field | what it says |\n| --- | --- |\n",
    );
    let message = std::iter::once("message");
    for name in TOP_LEVEL_FIELDS.iter().copied().chain(message).chain(std::iter::once("event")) {
        let _ = writeln!(out, "| `{name}` | {} |", top_level(name).unwrap_or_default());
    }
    out.push_str(
        "\nA field of an event that has the name of a top-level field is written as `field_<name>`; ours have none such. Lines of \
         libraries have no `event`.\n\n",
    );
    out.push_str(EVENT_COLUMNS);
    rows(out, LOG_EVENTS);
}

const EVENT_COLUMNS: &str = "| event | level | fields | sometimes | what it says |\n| --- | --- | --- | --- | --- |\n";

fn rows(out: &mut String, events: &[&LogEvent]) {
    for LogEvent { name, levels, fields, optional, help } in events {
        let (levels, fields, optional) = (levels.join(", "), codes(fields), codes(optional));
        let _ = writeln!(out, "| `{name}` | {levels} | {fields} | {optional} | {} |", cell(help));
    }
}

fn emf(out: &mut String) {
    out.push_str(
        "\n## Metrics in CloudWatch\n\n\
         Log lines in the embedded metric format, of which CloudWatch makes metrics: RED of the service once a minute, and the \
         canary's runs under the names of CloudWatch Synthetics. Synthetic requests are not among them.\n\n\
         | namespace | metric | unit | dimensions | what it says |\n| --- | --- | --- | --- | --- |\n",
    );
    for EmfNamespace { name: namespace, metrics, dimension_sets } in EMF_NAMESPACES {
        let sets = dimension_sets.iter().map(|set| codes(set)).collect::<Vec<_>>().join("; ");
        for EmfMetric { name, unit, help } in *metrics {
            let _ = writeln!(out, "| `{namespace}` | `{name}` | {unit} | {sets} | {} |", cell(help));
        }
    }
}

fn canary(out: &mut String) {
    out.push_str("\n## The canary\n\nAt `GET /metrics` of `canary serve`; the service emits none of it.\n");
    area(out, "Its metrics", CANARY_METRICS);
    out.push_str("\n### Its log lines\n\n");
    out.push_str(EVENT_COLUMNS);
    rows(out, CANARY_EVENTS);
}

/// What a field of every line says.
fn top_level(name: &str) -> Option<&'static str> {
    Some(match name {
        "timestamp" => "When, RFC 3339 in UTC.",
        "level" => "`ERROR`, `WARN`, `INFO`, `DEBUG` or `TRACE`.",
        "message" => "For people; may change.",
        "event" => "One of the events below; queries and alarms rely on it.",
        "target" => "The part of the program.",
        "service" => "`task-api`.",
        "version" => "The release.",
        "environment" => "`DEPLOYMENT_ENVIRONMENT`.",
        "trace_id" => "The request's trace, 32 hexadecimal digits; only within a request, as are the next three.",
        "span_id" => "The request's span, 16 hexadecimal digits.",
        "trace_flags" => "`01` where the trace is recorded, else `00`.",
        "request_id" => "What the answer's `x-request-id` says.",
        "truncated" => "`true` where a value was cut; absent else.",
        _ => return None,
    })
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

fn codes(names: &[&str]) -> String {
    names.iter().map(|name| code(name)).collect::<Vec<_>>().join(", ")
}

/// Code cannot be empty in Markdown.
fn value_of(value: &str) -> String {
    if value.is_empty() { "the empty string".to_owned() } else { code(value) }
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_belongs_to_exactly_one_area() {
        for metric in METRICS {
            let areas = AREAS.iter().filter(|(_, prefixes)| in_area(metric, prefixes)).count();
            assert_eq!(areas, 1, "{}: give its prefix to one of the areas in catalogue/reference.rs", metric.name);
        }
    }

    #[test]
    fn every_signal_has_a_line_and_every_top_level_field_a_sentence() {
        let page = reference();
        let has =
            |start: String| assert_eq!(page.lines().filter(|line| line.starts_with(&start)).count(), 1, "{start}");
        METRICS.iter().chain(CANARY_METRICS).for_each(|metric| has(format!("| `{}` |", metric.name)));
        LOG_EVENTS.iter().chain(CANARY_EVENTS).for_each(|event| has(format!("| `{}` |", event.name)));
        SPANS.iter().for_each(|span| has(format!("### `{}`", span.name)));
        for name in TOP_LEVEL_FIELDS {
            assert!(top_level(name).is_some(), "say what {name} is in catalogue/reference.rs");
        }
    }

    #[test]
    fn no_event_has_a_field_that_the_top_level_would_rename() {
        for event in LOG_EVENTS.iter().chain(CANARY_EVENTS) {
            let taken = |field: &&&str| TOP_LEVEL_FIELDS.contains(*field) || field.starts_with("field_");
            assert_eq!(event.fields.iter().chain(event.optional).find(taken), None, "{}", event.name);
        }
    }
}
