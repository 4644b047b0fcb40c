//! Runbooks: one page for each alert, whose queries are checked like those of the rules.

use std::collections::BTreeMap;

use slo::Slo;

use crate::catalogue::Catalogue;
use crate::cloudwatch;
use crate::promql::{self, Known};
use crate::tree::{Problem, Tree};

/// Where they stand.
pub const FOLDER: &str = "alerts/runbooks";

/// What each has, in this order.
pub const HEADINGS: [&str; 5] = ["Meaning", "Impact", "Diagnosis", "Mitigation", "Escalation"];

/// Fewer words than this under a heading is no help.
const WORDS_MIN: usize = 8;

/// A fenced block of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The line of the fence, from 1.
    pub line: usize,
    /// What follows the fence: `promql`, `logs`, `sh`.
    pub language: String,
    /// What is between the fences.
    pub text: String,
}

/// Every fenced block of a page.
pub fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (index, line) in page.lines().enumerate() {
        match (line.trim_start().strip_prefix("```"), &mut open) {
            (Some(language), None) => {
                open = Some(Block { line: index + 1, language: language.trim().to_owned(), text: String::new() });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(block)) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    blocks
}

/// The expressions of a `promql` block: parted by empty lines, without the lines that start with `#`.
pub fn expressions(block: &Block) -> Vec<String> {
    let lines: Vec<&str> = block.text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let text = lines.join("\n");
    text.split("\n\n").map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// What is wrong with the queries of a page: PromQL, and those of Logs Insights.
pub fn queries(path: &str, page: &str, known: &Known<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for block in blocks(page).iter().filter(|block| block.language == "logs") {
        let found = cloudwatch::query_problems(&block.text, known.catalogue);
        problems.extend(found.into_iter().map(|what| Problem::new(path, format!("line {}: {what}", block.line))));
    }
    for block in blocks(page).iter().filter(|block| block.language == "promql") {
        for expression in expressions(block) {
            let found = promql::problems(&expression, known);
            problems.extend(found.into_iter().map(|what| Problem::new(path, format!("line {}: {what}", block.line))));
        }
    }
    problems
}

/// Limits in a page's queries that are not those of the objectives any more.
fn stale(path: &str, page: &str, slo: &Slo) -> Vec<Problem> {
    let limits = [
        ("http_server_request_duration_seconds_bucket{", "le=\"", slo.requests.latency),
        ("db_client_operation_duration_seconds_bucket{", "le=\"", slo.database.latency),
        ("duration_ms > ", "", slo.requests.latency * 1000.0),
    ];
    let mut problems = Vec::new();
    for block in blocks(page) {
        for (query, before, limit) in &limits {
            for rest in block.text.split(query).skip(1) {
                let selector = rest.split(['}', '\n']).next().unwrap_or_default();
                let number = selector.split_once(before).map(|(_, text)| text).unwrap_or_default();
                let number: String = number.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
                if let Ok(found) = number.parse::<f64>()
                    && (found - limit).abs() > 1e-9
                {
                    let what = format!(
                        "line {}: looks for {found}, the objective is {}",
                        block.line,
                        super::yaml::number(*limit)
                    );
                    problems.push(Problem::new(path, what));
                }
            }
        }
    }
    problems
}

/// Numbers as prose writes them. `one` is left out: it is more often no number.
const WORDS: [(&str, f64); 11] = [
    ("two", 2.0),
    ("three", 3.0),
    ("four", 4.0),
    ("five", 5.0),
    ("six", 6.0),
    ("seven", 7.0),
    ("eight", 8.0),
    ("nine", 9.0),
    ("ten", 10.0),
    ("twenty", 20.0),
    ("thirty", 30.0),
];

/// Numbers that a page gives under Meaning and that its rule does not have: thresholds, windows and counts of the past.
/// `rule` is all that the rule says: expression, waits, description. What stands between backticks is a name.
pub fn stale_numbers(path: &str, page: &str, rule: &str) -> Vec<Problem> {
    let known = numbers(rule);
    let meaning = meaning(page);
    let prose = meaning.split('`').step_by(2).collect::<Vec<_>>().join(" ");
    let words = prose.split(|c: char| !c.is_ascii_alphabetic()).filter_map(|word| {
        let lower = word.to_ascii_lowercase();
        WORDS.iter().find(|(name, _)| *name == lower).map(|(_, value)| *value)
    });
    let unknown = numbers(&prose).into_iter().chain(words).filter(|found| known.iter().all(|one| one != found));
    let what =
        |number| format!("says {number} under Meaning, which its rule does not: it changed, or leave the number out");
    unknown.map(|number| Problem::new(path, what(super::yaml::number(number)))).collect()
}

/// What a page says under Meaning.
pub fn meaning(page: &str) -> String {
    sections(page).into_iter().find(|(heading, _)| heading == HEADINGS[0]).map(|(_, text)| text).unwrap_or_default()
}

/// The numbers in a text, also those that are a part of a word: 30 in `30d`. That of `5xx` is none.
fn numbers(text: &str) -> Vec<f64> {
    let text = text.replace("5xx", "");
    let parts = text.split(|c: char| !c.is_ascii_digit() && c != '.');
    parts.filter_map(|part| part.trim_matches('.').parse().ok()).collect()
}

/// What is wrong with the pages of these alerts, each with all that its rules say. A page that names neither an alert nor
/// an alarm in its title is an orphan; alarms are known by the templates of the tree.
pub fn problems(tree: &Tree, slo: &Slo, catalogue: &Catalogue, alerts: &BTreeMap<String, String>) -> Vec<Problem> {
    let known = Known { catalogue, others: super::others(slo) };
    let mut problems = Vec::new();
    for (name, rule) in alerts {
        let path = format!("{FOLDER}/{name}.md");
        match tree.read(&path) {
            Err(_) => problems.push(Problem::new(path, format!("is missing: the alert {name} points to it"))),
            Ok(page) => {
                problems.extend(shape(&path, name, &page));
                problems.extend(stale_numbers(&path, &page, rule));
            }
        }
    }
    for file in tree.names(FOLDER, ".md") {
        let path = format!("{FOLDER}/{file}");
        let Ok(page) = tree.read(&path) else { continue };
        problems.extend(queries(&path, &page, &known));
        problems.extend(stale(&path, &page, slo));
        let name = file.trim_end_matches(".md");
        if !alerts.contains_key(name) && !is_of_an_alarm(tree, name) {
            problems.push(Problem::new(
                path,
                format!("is an orphan: nothing is called {name}; remove it or its alert's mistake"),
            ));
        }
    }
    for path in ["docs/on-call.md", "docs/adding-an-alert.md", "docs/canary.md"] {
        match tree.read(path) {
            Ok(page) => {
                problems.extend(queries(path, &page, &known));
                problems.extend(stale(path, &page, slo));
            }
            Err(problem) => problems.push(problem),
        }
    }
    problems
}

/// Whether one of the files for CloudWatch names the page.
fn is_of_an_alarm(tree: &Tree, name: &str) -> bool {
    let folder = "alerts/cloudwatch";
    let files = ["", "/alarms", "/templates"].iter().flat_map(|below| {
        let folder = format!("{folder}{below}");
        tree.names(&folder, "").into_iter().map(move |file| format!("{folder}/{file}"))
    });
    files.filter_map(|path| tree.read(&path).ok()).any(|text| text.contains(&format!("{name}.md")))
}

fn shape(path: &str, name: &str, page: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    if page.lines().next() != Some(&format!("# {name}")) {
        problems.push(Problem::new(path, format!("line 1: the title is not `# {name}`")));
    }
    let sections = sections(page);
    let found: Vec<&str> = sections.iter().map(|(heading, _)| heading.as_str()).collect();
    if found != HEADINGS {
        problems.push(Problem::new(path, format!("has the headings {found:?}, it takes {HEADINGS:?} in this order")));
    }
    for (heading, text) in &sections {
        if text.split_whitespace().count() < WORDS_MIN {
            problems.push(Problem::new(path, format!("says too little under {heading}")));
        }
    }
    let diagnosed = blocks(page).iter().any(|block| matches!(block.language.as_str(), "promql" | "logs"));
    if !diagnosed {
        problems.push(Problem::new(path, "has no query to run: a block ```promql or ```logs under Diagnosis"));
    }
    problems
}

fn sections(page: &str) -> Vec<(String, String)> {
    let mut sections: Vec<(String, String)> = Vec::new();
    for line in page.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            sections.push((heading.trim().to_owned(), String::new()));
        } else if let Some((_, text)) = sections.last_mut() {
            text.push_str(line);
            text.push('\n');
        }
    }
    sections
}

/// Two pages whose text under a heading is the same word for word: one of them was not written for its alert.
pub fn copies(tree: &Tree) -> Vec<Problem> {
    let mut seen: BTreeMap<(String, String), String> = BTreeMap::new();
    let mut problems = Vec::new();
    for file in tree.names(FOLDER, ".md") {
        let path = format!("{FOLDER}/{file}");
        let Ok(page) = tree.read(&path) else { continue };
        for (heading, text) in sections(&page) {
            let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
            if let Some(other) = seen.insert((heading.clone(), words), path.clone()) {
                problems.push(Problem::new(
                    &path,
                    format!("says the same as {other} under {heading}: say what is its own"),
                ));
            }
        }
    }
    problems
}
