//! The exposition as OpenMetrics 1.0, which has what the text format 0.0.4 has not: exemplars. Who scrapes says which it
//! wants.
//!
//! The exporter writes 0.0.4 alone, and its counters and gauges differ between the two in their head only; hence the
//! text is translated rather than written a second time.

use std::fmt::Write;

use http::{HeaderMap, header};

const OPENMETRICS: &str = "application/openmetrics-text";

/// How the metrics are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposition {
    /// Prometheus' text format 0.0.4.
    Text,
    /// OpenMetrics 1.0, with exemplars.
    OpenMetrics,
}

impl Exposition {
    /// The value of `content-type`.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// What the `Accept` of a request prefers. Text unless it names OpenMetrics, in version 1.0.0 or in none, with no
    /// less weight than text: a person's browser and an old scraper read text.
    pub fn accepted(headers: &HeaderMap) -> Self {
        let values = headers.get_all(header::ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
        let ranges = values.flat_map(|value| value.split(',')).filter_map(range);
        let (mut text, mut openmetrics) = (0.0_f32, 0.0_f32);
        for (name, version, weight) in ranges {
            if name.eq_ignore_ascii_case("text/plain") {
                text = text.max(weight);
            } else if name.eq_ignore_ascii_case(OPENMETRICS) && version.is_none_or(|version| version == "1.0.0") {
                openmetrics = openmetrics.max(weight);
            }
        }
        if openmetrics > 0.0 && openmetrics >= text { Self::OpenMetrics } else { Self::Text }
    }
}

/// The type of one media range, its version, and its weight from 0 to 1.
fn range(range: &str) -> Option<(&str, Option<&str>, f32)> {
    let mut parts = range.split(';').map(str::trim);
    let name = parts.next()?;
    let (mut version, mut weight) = (None, 1.0);
    for (parameter, value) in parts.filter_map(|parameter| parameter.split_once('=')) {
        match parameter {
            "version" => version = Some(value.trim_matches('"')),
            "q" | "Q" => weight = value.parse().ok().filter(|weight| (0.0..=1.0).contains(weight))?,
            _ => {}
        }
    }
    Some((name, version, weight))
}

/// Translates a text of format 0.0.4 whose histograms are OpenMetrics' already: the family of a counter is named without
/// `_total`, units are said, nothing stands between families, and the end is marked.
pub(super) fn translated(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 1024);
    for line in text.lines().filter(|line| !line.is_empty()) {
        // Writing to a string cannot fail.
        let _ = match line.strip_prefix("# ").and_then(|head| head.split_once(' ')) {
            Some(("HELP", rest)) => {
                let (name, help) = rest.split_once(' ').unwrap_or((rest, ""));
                writeln!(out, "# HELP {} {}", family(name), help.replace('"', "\\\""))
            }
            Some(("TYPE", rest)) => {
                let (name, kind) = rest.split_once(' ').unwrap_or((rest, "unknown"));
                let name = family(name);
                let unit = ["seconds", "bytes"].into_iter().find(|unit| name.ends_with(&format!("_{unit}")));
                let unit = unit.map_or_else(String::new, |unit| format!("# UNIT {name} {unit}\n"));
                write!(out, "# TYPE {name} {kind}\n{unit}")
            }
            _ => writeln!(out, "{line}"),
        };
    }
    out.push_str("# EOF\n");
    out
}

/// The name of a metric's family: counters end with `_total`, and the catalogue's tests see to it that nothing else does.
fn family(name: &str) -> &str {
    name.strip_suffix("_total").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(values: &[&'static str]) -> Exposition {
        let value = |value: &&'static str| (header::ACCEPT, http::HeaderValue::from_static(value));
        Exposition::accepted(&values.iter().map(value).collect())
    }

    #[test]
    fn openmetrics_is_for_those_who_ask_for_it() {
        let prometheus_2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                            text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                            application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;q=0.3,\
                            text/plain;version=0.0.4;q=0.2,/;q=0.1";
        let asks: [&[&str]; 5] = [
            &[prometheus_2],
            &[prometheus_3],
            &["application/openmetrics-text"],
            &["Application/OpenMetrics-Text ; version=\"1.0.0\""],
            &["text/plain;q=0.5", "application/openmetrics-text; version=1.0.0"],
        ];
        for ask in asks {
            assert_eq!(accepted(ask), Exposition::OpenMetrics, "{ask:?}");
        }
        let others: [&[&str]; 9] = [
            &[],
            &["*/*"],
            &["text/plain"],
            &["text/html,application/xhtml+xml,*/*;q=0.8"],
            &["application/openmetrics-text;q=0"],
            &["application/openmetrics-text;q=nonsense"],
            &["application/openmetrics-text;version=2.0.0"],
            &["application/openmetrics-text;version=0.0.1,text/plain;q=0.5"],
            &["application/openmetrics-text;q=0.3,text/plain;q=0.5"],
        ];
        for ask in others {
            assert_eq!(accepted(ask), Exposition::Text, "{ask:?}");
        }
    }

    #[test]
    fn heads_are_translated_and_samples_are_not() {
        let text = "# HELP a_total What \"a\" counts.\n# TYPE a_total counter\na_total{b=\"c\"} 3\n\n\
                    # HELP d_seconds_total Time.\n# TYPE d_seconds_total counter\nd_seconds_total 0.5\n\n\
                    # HELP e_bytes Size.\n# TYPE e_bytes gauge\ne_bytes 7\n\n\
                    # HELP f_max Most.\n# TYPE f_max gauge\nf_max 7\n\n";
        let expected = "# HELP a What \\\"a\\\" counts.\n# TYPE a counter\na_total{b=\"c\"} 3\n\
                        # HELP d_seconds Time.\n# TYPE d_seconds counter\n# UNIT d_seconds seconds\nd_seconds_total 0.5\n\
                        # HELP e_bytes Size.\n# TYPE e_bytes gauge\n# UNIT e_bytes bytes\ne_bytes 7\n\
                        # HELP f_max Most.\n# TYPE f_max gauge\nf_max 7\n# EOF\n";
        assert_eq!(translated(text), expected);
        assert_eq!(translated(""), "# EOF\n");
    }
}
