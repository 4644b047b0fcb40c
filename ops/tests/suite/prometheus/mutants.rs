//! Would the tests of the alerts notice a mistake in them? Each alert is changed in every way below, and some case of
//! its own must fail.
//!
//! All mutants of a test file are rules of one run, each under a name of its own, so that the recordings, which take
//! the time, are evaluated once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ops::prometheus::{Alert, Case, alerts, case_path};
use ops::tree::Rendered;
use serde_norway::Value;

use super::promtool::{promtool, test_rules, tests, written};
use crate::tree::objectives;

/// The comparisons of our expressions, and their opposites. Longer ones stand first.
const COMPARISONS: [(&str, &str); 5] =
    [(" >= ", " < "), (" <= ", " > "), (" == ", " != "), (" > ", " < "), (" < ", " > ")];

#[derive(Debug)]
struct Mutant {
    name: String,
    what: String,
    expr: String,
    waits: bool,
}

/// Every mutant of a rule: each comparison flipped, each threshold ten times as high, no waiting.
fn mutants(alert: &Alert, first: usize) -> Vec<Mutant> {
    let mut found: Vec<(String, String, bool)> = Vec::new();
    for (at, operator, opposite) in comparisons(&alert.expr) {
        let (before, after) = (&alert.expr[..at], &alert.expr[at + operator.len()..]);
        found.push((format!("{operator} flipped at {at}"), format!("{before}{opposite}{after}"), true));
        // Ten times nothing is nothing.
        if !after.starts_with('0') || after.starts_with("0.") {
            found.push((format!("ten times the threshold at {at}"), format!("{before}{operator}10 * {after}"), true));
        }
    }
    if alert.wait.is_some() {
        found.push(("no for".to_owned(), alert.expr.clone(), false));
    }
    let named = found.into_iter().enumerate();
    named
        .map(|(index, (what, expr, waits))| Mutant {
            name: format!("{}Mutant{}", alert.name, first + index),
            what: format!("{} {:?}: {what}", alert.name, alert.labels),
            expr,
            waits,
        })
        .collect()
}

fn comparisons(expr: &str) -> Vec<(usize, &'static str, &'static str)> {
    let mut quoted = false;
    let mut found = Vec::new();
    for (at, character) in expr.char_indices() {
        quoted ^= character == '"';
        if let Some((operator, opposite)) = COMPARISONS.iter().find(|(operator, _)| expr[at..].starts_with(operator))
            && !quoted
        {
            found.push((at, *operator, *opposite));
        }
    }
    found
}

/// A test file and its rules in which the alerts are their mutants.
struct Mutated {
    files: [Rendered; 2],
    mutants: Vec<Mutant>,
}

fn mutated(all: &[Alert], files: &[Rendered], test: &str) -> Mutated {
    let text = |path: &str| &files.iter().find(|file| file.path == path).unwrap_or_else(|| panic!("{path}")).text;
    let cases = || all.iter().flat_map(|alert| alert.cases.iter().map(move |case| (alert, case)));
    let own: Vec<(&Alert, &Case)> = cases().filter(|(alert, case)| case_path(alert, case) == test).collect();
    let mut parsed: Value = serde_norway::from_str(text(test)).expect("YAML");
    let topic = &own[0].0.topic;
    let rules_path = format!("alerts/prometheus/{topic}.yml");
    let mut rules: Value = serde_norway::from_str(text(&rules_path)).expect("YAML");

    let mut mutants_of_rule: BTreeMap<String, Vec<Mutant>> = BTreeMap::new();
    let mut count = 0;
    for (alert, _) in &own {
        mutants_of_rule.entry(key(alert)).or_insert_with(|| {
            let found = mutants(alert, count);
            count += found.len();
            found
        });
    }

    let group = rules["groups"].as_sequence_mut().expect("groups").last_mut().expect("the alerts are last");
    let original = group["rules"].as_sequence().expect("rules").clone();
    let in_topic: Vec<&Alert> = all.iter().filter(|alert| &alert.topic == topic).collect();
    let mut mutated = Vec::new();
    for (rule, alert) in original.iter().zip(&in_topic) {
        for mutant in mutants_of_rule.get(&key(alert)).into_iter().flatten() {
            // The others of its name are expected beside it.
            for (other, sibling) in original.iter().zip(&in_topic).filter(|(_, sibling)| sibling.name == alert.name) {
                let mut other = other.clone();
                if std::ptr::eq(*sibling, *alert) {
                    other = rule.clone();
                    other["expr"] = mutant.expr.as_str().into();
                    if !mutant.waits {
                        other["for"] = "0s".into();
                    }
                }
                other["alert"] = mutant.name.as_str().into();
                mutated.push(other);
            }
        }
    }
    group["rules"] = Value::Sequence(mutated);

    for case in parsed["tests"].as_sequence_mut().expect("tests") {
        let title = case["name"].as_str().expect("a name").to_owned();
        let (alert, _) =
            own.iter().find(|(alert, case)| title == format!("{} {}", alert.name, case.what)).expect("ours");
        let checks = case["alert_rule_test"].as_sequence().expect("checks").clone();
        let renamed = mutants_of_rule[&key(alert)].iter().flat_map(|mutant| {
            checks.iter().cloned().map(move |mut check| {
                check["alertname"] = mutant.name.as_str().into();
                check
            })
        });
        case["alert_rule_test"] = Value::Sequence(renamed.collect());
    }
    let file = |path: &str, value: &Value| Rendered {
        path: path.to_owned(),
        text: serde_norway::to_string(value).expect("YAML again"),
    };
    Mutated {
        files: [file(&rules_path, &rules), file(test, &parsed)],
        mutants: mutants_of_rule.into_values().flatten().collect(),
    }
}

fn key(alert: &Alert) -> String {
    format!("{} {:?}", alert.name, alert.labels)
}

#[test]
fn no_alert_can_be_changed_without_one_of_its_tests_failing() {
    let Some(promtool) = promtool() else { return };
    let slo = objectives();
    let (files, all) = (ops::prometheus::rendered(&slo), alerts(&slo));
    let budget = "alerts/prometheus/tests/budget.yml"; // holds no alert
    let mutated: Vec<Mutated> =
        tests(&files).into_iter().filter(|test| *test != budget).map(|test| mutated(&all, &files, test)).collect();

    // A folder each: two test files change the same file of rules.
    let folders: Vec<_> = mutated.iter().map(|mutated| written(&mutated.files)).collect();
    let paths: Vec<String> = folders
        .iter()
        .zip(&mutated)
        .map(|(folder, mutated)| folder.path().join(&mutated.files[1].path).display().to_string())
        .collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let said = test_rules(&promtool, Path::new("/"), &paths);

    let mut survivors = Vec::new();
    let mut seen = BTreeSet::new();
    for (mutated, (_, said)) in mutated.iter().zip(&said) {
        let killed: BTreeSet<&str> =
            said.lines().filter_map(|line| line.trim().strip_prefix("alertname: ")?.split(',').next()).collect();
        assert!(!said.contains("error parsing") && (mutated.mutants.is_empty() || said.contains("FAILED")), "{said}");
        for mutant in &mutated.mutants {
            seen.insert(mutant.what.clone());
            if !killed.contains(mutant.name.as_str()) {
                survivors.push(format!("{}\n{}", mutant.what, mutant.expr));
            }
        }
    }
    assert!(survivors.is_empty(), "no test noticed\n{}", survivors.join("\n\n"));
    let names: BTreeSet<&str> = all.iter().map(|alert| alert.name.as_str()).collect();
    let without: Vec<&&str> = names.iter().filter(|name| !seen.iter().any(|what| what.starts_with(*name))).collect();
    assert_eq!(without, [&"Watchdog"], "what always fires has nothing to change");
    println!("{} mutants, all noticed", seen.len());
    assert!(seen.len() > 3 * names.len(), "{} mutants", seen.len());
}

#[test]
fn a_comparison_is_found_where_it_stands_and_not_within_quotes() {
    let found = comparisons("a{b=~\"x > y\"} > 1\nand\nc >= 2");
    assert_eq!(found.iter().map(|(at, operator, _)| (*at, *operator)).collect::<Vec<_>>(), [(13, " > "), (23, " >= ")]);
}
