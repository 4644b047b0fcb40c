//! An alert as a value: the rule that Prometheus gets, and the cases that hold the rule to what it says.

use std::fmt::Write;

use slo::{Severity, Slo};

use super::yaml::{HEADER, comment, folded, literal, percent, quoted};
use super::{recording, sli};
use crate::tree::Rendered;

/// Where the rules and their tests stand.
pub const FOLDER: &str = "alerts/prometheus";

/// The files of the rules besides those of one objective each.
pub(super) const TOPICS: [&str; 5] = ["slo", "service", "telemetry", "canary", "monitoring"];

/// What the file of an objective is called, without its ending.
pub(super) fn of_objective(slo: &str) -> String {
    format!("slo-{slo}")
}

/// The name of the group of alerts in a file.
pub(super) fn group(topic: &str) -> String {
    format!("task-api-{topic}-alerts")
}

/// Where the rules of a topic stand.
pub(super) fn path(topic: &str) -> String {
    format!("{FOLDER}/{topic}.yml")
}

/// One rule. Several may share a name when they say the same of different windows.
#[derive(Debug, Clone)]
pub struct Alert {
    /// `CamelCase`; its runbook's name.
    pub name: String,
    /// The file it stands in, without its ending.
    pub topic: String,
    /// Whom it calls.
    pub severity: Severity,
    /// One fixed sentence.
    pub summary: String,
    /// Value, threshold, window, and what users notice. `[[percent]]`, `[[0]]` and `[[2]]` stand for the value, as a
    /// share or with so many decimals; `[[label:x]]` for a label; `[[budget:x]]` for what is left of an objective's
    /// budget.
    pub description: String,
    /// When it is true.
    pub expr: String,
    /// Labels besides `service` and `severity`, to tell rules of one name apart.
    pub labels: Vec<(&'static str, String)>,
    /// For how many minutes that must hold.
    pub wait: Option<u64>,
    /// The uid of the dashboard to open.
    pub dashboard: &'static str,
    /// Whether it only follows from there being no instance at all.
    pub symptom: bool,
    /// What it must do.
    pub cases: Vec<Case>,
}

/// What a rule is fed, and what it must say when.
#[derive(Debug, Clone)]
pub struct Case {
    /// What it shows, as the end of a sentence that starts with the alert's name.
    pub what: String,
    /// How the moments follow from the thresholds.
    pub why: String,
    /// Minutes between two evaluations.
    pub step: u64,
    /// The file, when not that of the topic.
    pub file: Option<String>,
    /// Series and their values, one a minute, in promtool's notation.
    pub series: Vec<(String, String)>,
    /// At which minute it says what.
    pub checks: Vec<Check>,
}

/// One moment.
#[derive(Debug, Clone)]
pub struct Check {
    /// Minutes since the start.
    pub minute: u64,
    /// What fires then; nothing must when this is empty.
    pub firing: Vec<Firing>,
}

/// One firing alert.
#[derive(Debug, Clone, Default)]
pub struct Firing {
    /// Labels besides those that the rule adds.
    pub labels: Vec<(&'static str, String)>,
    /// `$value`.
    pub value: f64,
    /// What the budget query of the description finds.
    pub budget: Option<f64>,
}

impl Case {
    /// A case with one evaluation a minute.
    pub fn new(what: &str, why: &str, series: &[(&str, &str)], checks: &[(u64, Option<Firing>)]) -> Self {
        let checks =
            checks.iter().map(|(minute, firing)| Check { minute: *minute, firing: firing.iter().cloned().collect() });
        Self {
            what: what.to_owned(),
            why: why.to_owned(),
            step: 1,
            file: None,
            series: series.iter().map(|(name, values)| ((*name).to_owned(), (*values).to_owned())).collect(),
            checks: checks.collect(),
        }
    }
}

impl Firing {
    /// With this value and these labels.
    pub fn new(value: f64, labels: &[(&'static str, &str)]) -> Option<Self> {
        let labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Some(Self { labels, value, budget: None })
    }
}

impl Alert {
    /// The labels that the rule adds.
    pub fn labels(&self) -> Vec<(&'static str, String)> {
        let own = [("service", "task-api".to_owned()), ("severity", self.severity.as_str().to_owned())];
        own.into_iter().chain(self.labels.clone()).collect()
    }

    /// Where its runbook is published.
    pub fn runbook_url(&self, slo: &Slo) -> String {
        format!("{}/{}.md", slo.links.runbooks, self.name)
    }

    /// The dashboard to open.
    pub fn dashboard_url(&self, slo: &Slo) -> String {
        format!("{}/d/{}", slo.links.dashboards, self.dashboard)
    }

    /// The description as Prometheus fills it in.
    pub fn template(&self) -> String {
        fill(&self.description, |token| match token.split_once(':') {
            Some(("label", name)) => format!("{{{{ $labels.{name} }}}}"),
            Some(("budget", objective)) => format!(
                "{{{{ with query \"slo:period_error_budget_remaining:ratio{{sloth_slo='{objective}'}}\" }}}}\
                 {{{{ . | first | value | humanizePercentage }}}}{{{{ else }}}}an unknown part{{{{ end }}}}"
            ),
            _ if token == "percent" => "{{ $value | humanizePercentage }}".to_owned(),
            _ => format!("{{{{ printf \"%.{token}f\" $value }}}}"),
        })
    }

    /// The description as it reads when it fires like this.
    pub fn expanded(&self, firing: &Firing) -> String {
        let label = |name: &str| {
            let found = firing.labels.iter().find(|(label, _)| *label == name);
            found.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        fill(&self.description, |token| match token.split_once(':') {
            Some(("label", name)) => label(name),
            Some(_) => firing.budget.map(percent).unwrap_or_default(),
            _ if token == "percent" => percent(firing.value),
            _ => format!("{:.*}", token.parse().unwrap_or(0), firing.value),
        })
    }

    fn render(&self, slo: &Slo, text: &mut String) {
        let _ = write!(text, "      - alert: {}\n        expr: {}\n", self.name, literal(&self.expr, 10));
        if let Some(minutes) = self.wait {
            let _ = writeln!(text, "        for: {minutes}m");
        }
        text.push_str("        labels:\n");
        for (name, value) in self.labels() {
            let _ = writeln!(text, "          {name}: {value}");
        }
        text.push_str("        annotations:\n");
        self.annotations(slo, &self.template(), 10, text);
    }

    /// The annotations with this description, indented by so many spaces.
    fn annotations(&self, slo: &Slo, description: &str, indent: usize, text: &mut String) {
        let pad = " ".repeat(indent);
        let _ = writeln!(text, "{pad}summary: {}", quoted(&self.summary));
        let _ = writeln!(text, "{pad}description: {}", folded(description, indent + 2));
        let _ = writeln!(text, "{pad}runbook_url: {}", quoted(&self.runbook_url(slo)));
        let _ = writeln!(text, "{pad}dashboard_url: {}", quoted(&self.dashboard_url(slo)));
    }
}

/// Replaces each `[[token]]`.
fn fill(text: &str, with: impl Fn(&str) -> String) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("[[") {
        let (token, after) = after.split_once("]]").unwrap_or((after, ""));
        out.push_str(before);
        out.push_str(&with(token));
        rest = after;
    }
    out + rest
}

/// The files of the rules: one for each objective, with its recording rules, and one for each topic.
pub(super) fn rendered(slo: &Slo, alerts: &[Alert]) -> Vec<Rendered> {
    let file = |topic: &str, before: String| {
        let mut text = format!("{HEADER}{before}  - name: {}\n    rules:\n", group(topic));
        alerts.iter().filter(|alert| alert.topic == topic).for_each(|alert| alert.render(slo, &mut text));
        Rendered { path: path(topic), text }
    };
    let objectives = sli::all(slo).into_iter().map(|sli| file(&of_objective(sli.slo), recording::rendered(slo, &sli)));
    objectives.chain(TOPICS.iter().map(|topic| file(topic, "groups:\n".to_owned()))).collect()
}

/// The file of a case, from the root.
pub fn case_path(alert: &Alert, case: &Case) -> String {
    let name = case.file.clone().unwrap_or_else(|| match case.step {
        1 => alert.topic.clone(),
        step => format!("{}-{step}m", alert.topic),
    });
    format!("{FOLDER}/tests/{name}.yml")
}

/// The files of the tests.
pub(super) fn rendered_tests(slo: &Slo, alerts: &[Alert]) -> Vec<Rendered> {
    let cases = || alerts.iter().flat_map(|alert| alert.cases.iter().map(move |case| (alert, case)));
    let mut files: Vec<(String, &str, u64)> =
        cases().map(|(alert, case)| (case_path(alert, case), alert.topic.as_str(), case.step)).collect();
    files.sort();
    files.dedup();
    let file = |(path, topic, step): (String, &str, u64)| {
        let mut text = head(&[topic], step);
        for (alert, case) in cases().filter(|(alert, case)| case_path(alert, case) == path) {
            render_case(slo, alert, case, &mut text);
        }
        Rendered { path, text }
    };
    files.into_iter().map(file).collect()
}

/// What stands before the tests of a file: the rules of these topics, evaluated in the order in which they build on
/// each other, every `step` minutes.
pub(super) fn head(topics: &[&str], step: u64) -> String {
    let mut text =
        format!("{HEADER}# For `promtool test rules`. Each comment says how the moments follow from the thresholds.\n");
    text.push_str("rule_files:\n");
    let mut groups = Vec::new();
    for topic in topics {
        let _ = writeln!(text, "  - ../{topic}.yml");
        groups.extend(topic.strip_prefix("slo-").map(recording::groups).into_iter().flatten());
        groups.push(group(topic));
    }
    let _ = write!(text, "evaluation_interval: {step}m\ngroup_eval_order:\n");
    groups.iter().for_each(|group| {
        let _ = writeln!(text, "  - {group}");
    });
    text.push_str("tests:\n");
    text
}

fn render_case(slo: &Slo, alert: &Alert, case: &Case, text: &mut String) {
    text.push_str(&comment(&case.why, 2));
    let title = quoted(&format!("{} {}", alert.name, case.what));
    let _ = write!(text, "  - name: {title}\n    interval: 1m\n    input_series:\n");
    for (series, values) in &case.series {
        let _ = write!(text, "      - series: {}\n        values: {values}\n", super::yaml::single(series));
    }
    if case.series.is_empty() {
        text.truncate(text.trim_end().len());
        text.push_str(" []\n");
    }
    text.push_str("    alert_rule_test:\n");
    for check in &case.checks {
        let _ = write!(text, "      - alertname: {}\n        eval_time: {}m\n", alert.name, check.minute);
        if check.firing.is_empty() {
            text.push_str("        exp_alerts: []\n");
            continue;
        }
        text.push_str("        exp_alerts:\n");
        for firing in &check.firing {
            text.push_str("          - exp_labels:\n");
            let own = alert.labels();
            let own = own.iter().filter(|(name, _)| firing.labels.iter().all(|(other, _)| other != name));
            for (name, value) in own.chain(&firing.labels) {
                let _ = writeln!(text, "              {name}: {}", quoted(value));
            }
            text.push_str("            exp_annotations:\n");
            alert.annotations(slo, &alert.expanded(firing), 14, text);
        }
    }
}
