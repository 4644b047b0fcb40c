//! The rendered files with their clock sixty times as fast, so that a test can wait for what they say.

use ops::tree::Rendered;
use serde_norway::Value;
use slo::Period;

const FASTER: u64 = 60;

/// A minute is a second; what is shorter than that becomes a second too.
fn period(text: &str) -> String {
    let seconds = text.parse::<Period>().unwrap_or_else(|()| panic!("{text} is no period")).seconds();
    Period::from_seconds((seconds / FASTER).max(1)).expect("at least 1").to_string()
}

/// A file of rules: ranges, offsets, waits and intervals. The names of the series stay.
pub(crate) fn rules(file: &Rendered) -> Rendered {
    let text = between(&file.text, "[", "]");
    let text = between(&text, " offset ", ")");
    let lines = text.lines().map(|line| match line.split_once(": ") {
        Some((key, value)) if matches!(key.trim(), "for" | "interval") => format!("{key}: {}\n", period(value)),
        _ => format!("{line}\n"),
    });
    Rendered { path: file.path.clone(), text: lines.collect() }
}

/// Replaces every period between two marks.
fn between(text: &str, open: &str, close: &str) -> String {
    let mut parts = text.split(open);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (inside, rest) = part.split_once(close).unwrap_or_else(|| panic!("{open} without {close}"));
        out += &format!("{open}{}{close}{rest}", period(inside));
    }
    out
}

/// The configuration of Prometheus, with these targets for its jobs; jobs without a target are left out.
pub(crate) fn scraping(file: &Rendered, targets: &[(&str, String)], alertmanager: &str) -> Value {
    let mut config: Value = serde_norway::from_str(&file.text).expect("YAML");
    for key in ["scrape_interval", "scrape_timeout", "evaluation_interval"] {
        config["global"][key] = "1s".into();
    }
    config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"][0] = alertmanager.into();
    let jobs = config["scrape_configs"].as_sequence_mut().expect("jobs");
    jobs.retain_mut(|job| {
        let target = targets.iter().find(|(name, _)| job["job_name"] == *name);
        if let Some((_, address)) = target {
            // A name that stands for several tasks does not resolve here.
            job.as_mapping_mut().expect("a job").remove("dns_sd_configs");
            job["static_configs"] = serde_norway::from_str(&format!("[{{targets: ['{address}']}}]")).expect("YAML");
        }
        target.is_some()
    });
    assert_eq!(jobs.len(), targets.len(), "a job of this name");
    config
}

/// The configuration of Alertmanager, which tells all to one address; there is no SNS here.
pub(crate) fn routing(file: &Rendered, receiver: &str) -> Value {
    let mut config: Value = serde_norway::from_str(&file.text.replace("http://pager:8080", receiver)).expect("YAML");
    faster(&mut config["route"]);
    for receiver in config["receivers"].as_sequence_mut().expect("receivers") {
        receiver.as_mapping_mut().expect("a receiver").remove("sns_configs");
    }
    config
}

fn faster(route: &mut Value) {
    for key in ["group_wait", "group_interval", "repeat_interval"] {
        if let Some(text) = route.get(key).and_then(Value::as_str).map(str::to_owned)
            && text != "0s"
        {
            route[key] = period(&text).into();
        }
    }
    route.get_mut("routes").and_then(Value::as_sequence_mut).into_iter().flatten().for_each(faster);
}

#[test]
fn only_the_clock_is_changed() {
    let text =
        "  - name: x\n    interval: 30s\n      expr: sum(rate(slo:rate5m[5m])) > sum(a[1h] offset 1d)\n      for: 5m\n";
    let scaled = rules(&Rendered { path: String::new(), text: text.to_owned() }).text;
    let expected =
        "  - name: x\n    interval: 1s\n      expr: sum(rate(slo:rate5m[5s])) > sum(a[1m] offset 24m)\n      for: 5s\n";
    assert_eq!(scaled, expected);
}
