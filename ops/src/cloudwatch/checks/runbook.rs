//! The runbooks that alarms point to: each is there, is about its alarm, and asks only what can be answered.

use std::collections::{BTreeMap, BTreeSet};

use slo::Slo;

use super::super::RUNBOOKS;
use super::super::template::Template;
use super::logs;
use crate::catalogue::Catalogue;
use crate::prometheus;
use crate::tree::{Problem, Tree};

const HEADINGS: &[&str] = &["Meaning", "Impact", "Diagnosis", "Mitigation", "Escalation"];

/// All that is wrong with the runbooks of the template's alarms, and those that no alarm points to.
pub(super) fn problems(tree: &Tree, slo: &Slo, template: &Template, catalogue: &Catalogue) -> Vec<Problem> {
    let mut of: BTreeMap<String, Vec<(&str, String)>> = BTreeMap::new();
    let alarms = template.alarms.iter().map(|(id, alarm)| (id, &alarm.alarm_description, format!("{alarm:?}")));
    let composites =
        template.composites.iter().map(|(id, composite)| (id, &composite.alarm_description, format!("{composite:?}")));
    for (id, description, said) in alarms.chain(composites) {
        if let Some(file) = runbook(description, slo) {
            of.entry(file).or_default().push((id, said));
        }
    }
    let mut problems = Vec::new();
    for (file, ids) in &of {
        let path = format!("{RUNBOOKS}/{file}");
        match tree.read(&path) {
            Err(_) => {
                let names: Vec<&str> = ids.iter().map(|(id, _)| *id).collect();
                problems.push(Problem::new(&path, format!("is missing: {} points to it", names.join(", "))));
            }
            Ok(text) => {
                let found = read(&text, ids, catalogue);
                problems.extend(found.into_iter().map(|what| Problem::new(&path, what)));
                let said: Vec<&str> = ids.iter().map(|(_, said)| said.as_str()).collect();
                problems.extend(prometheus::runbook::stale_numbers(&path, &text, &said.join(" ")));
            }
        }
    }
    // A page of the same folder that is of no alarm is of an alert.
    let alerts: BTreeSet<String> =
        prometheus::items(slo).into_iter().filter(|item| item.kind == "alert").map(|item| item.name + ".md").collect();
    let files = tree.names(RUNBOOKS, ".md").into_iter().filter(|file| !of.contains_key(file) && !alerts.contains(file));
    problems.extend(files.map(|file| Problem::new(format!("{RUNBOOKS}/{file}"), "no alarm and no alert points to it")));
    problems
}

/// The file that a description points to.
pub(super) fn runbook(description: &str, slo: &Slo) -> Option<String> {
    let link = format!("Runbook: {}/", slo.links.runbooks);
    description.lines().find_map(|line| line.strip_prefix(&link)).map(str::to_owned)
}

fn read(text: &str, ids: &[(&str, String)], catalogue: &Catalogue) -> Vec<String> {
    let headings: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("## ")).map(str::trim).collect();
    let mut problems = Vec::new();
    if headings != HEADINGS {
        problems.push(format!("has the headings {}; a runbook has {}", headings.join(", "), HEADINGS.join(", ")));
    }
    // Several windows of one rate share a page. Whoever comes from one of them must find its name at the top.
    let meaning = prometheus::runbook::meaning(text);
    let words: BTreeSet<&str> = meaning.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    let unnamed = ids.iter().filter(|(id, _)| !words.contains(id));
    problems.extend(unnamed.map(|(id, _)| format!("does not name under Meaning the alarm {id} that points to it")));
    let blocks = blocks(text, "logs");
    let wrong = blocks.iter().flat_map(|query| logs::query(query, catalogue));
    problems.extend(wrong.map(|what| format!("a query of the logs: {what}")));
    problems
}

/// The fenced blocks of a language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let (mut blocks, mut inside) = (Vec::new(), false);
    for line in text.lines() {
        if inside && line.trim_start().starts_with("```") {
            inside = false;
        } else if inside {
            if let Some(block) = blocks.last_mut() {
                *block += line;
                *block += "\n";
            }
        } else if line.trim() == format!("```{language}") {
            inside = true;
            blocks.push(String::new());
        }
    }
    blocks
}
