//! Values as people read them, near to what Grafana writes for the same unit.

use serde_json::Value;

/// A value of a panel at a time in seconds since 1970: its word if it has one, else with its unit.
pub(super) fn shown(panel: &Value, value: f64, now: f64) -> String {
    let defaults = &panel["fieldConfig"]["defaults"];
    if let Some(word) = defaults["mappings"][0]["options"][value.to_string()]["text"].as_str() {
        return word.to_owned();
    }
    if let (Some(decimals), Some("percentunit")) = (defaults["decimals"].as_u64(), defaults["unit"].as_str()) {
        return format!("{:.*} %", usize::try_from(decimals).unwrap_or_default(), value * 100.0);
    }
    with_unit(value, defaults["unit"].as_str().unwrap_or_default(), now)
}

/// A value with its unit.
pub(super) fn with_unit(value: f64, unit: &str, now: f64) -> String {
    match unit {
        "s" if value == 0.0 => "0 s".to_owned(),
        "s" if value.abs() < 0.001 => format!("{} µs", short(value * 1e6)),
        "s" if value.abs() < 1.0 => format!("{} ms", short(value * 1e3)),
        "s" => format!("{} s", short(value)),
        "percentunit" => format!("{} %", short(value * 100.0)),
        "bytes" if value.abs() >= 1024.0 * 1024.0 => format!("{} MiB", short(value / 1024.0 / 1024.0)),
        "bytes" if value.abs() >= 1024.0 => format!("{} KiB", short(value / 1024.0)),
        "bytes" => format!("{} B", short(value)),
        "reqps" => format!("{} req/s", short(value)),
        "ops" => format!("{} ops/s", short(value)),
        "cps" => format!("{} /s", short(value)),
        "dateTimeFromNow" => format!("{:.0} s ago", now - value / 1000.0),
        _ => short(value),
    }
}

/// Three digits that matter.
fn short(value: f64) -> String {
    let digits = match value.abs() {
        0.0 => 0,
        small if small < 1.0 => 3,
        small if small < 10.0 => 2,
        small if small < 100.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}
