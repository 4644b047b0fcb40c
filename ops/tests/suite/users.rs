//! Who uses a name of the catalogue, found by a plain search of the text: independent of the parsers of `ops check`, so
//! that a file which a parser does not understand, or never opens, is missed.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use ops::catalogue::Catalogue;
use ops::prometheus::runbook;

use crate::tree::here;

/// A piece of a file that is searched: a whole one, or a block or query in it.
struct Text {
    file: String,
    text: String,
}

/// Folders and what their files end in.
const FOLDERS: [(&str, &str); 2] = [("alerts/prometheus", ".yml"), ("dashboards/grafana", ".json")];

/// Pages besides the runbooks whose queries somebody runs at night.
const PAGES: [&str; 2] = ["docs/on-call.md", "docs/canary.md"];

/// Rules and dashboards without comments, and each block of each runbook and page.
static TEXTS: LazyLock<Vec<Text>> = LazyLock::new(|| {
    let mut texts = Vec::new();
    for (folder, suffix) in FOLDERS {
        for name in here().names(folder, suffix) {
            let file = format!("{folder}/{name}");
            let text = read(&file);
            let lines: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
            texts.push(Text { file, text: lines.join("\n") });
        }
    }
    for file in [ops::cloudwatch::TEMPLATE, ops::cloudwatch::DASHBOARD] {
        texts.push(Text { file: file.to_owned(), text: read(file) });
    }
    for (file, blocks) in pages() {
        texts.extend(blocks.into_iter().map(|block| Text { file: file.clone(), text: block.text }));
    }
    texts
});

/// Each query of Logs Insights, in the template, the dashboard and the pages.
static QUERIES: LazyLock<Vec<Text>> = LazyLock::new(|| {
    let file = ops::cloudwatch::TEMPLATE;
    let template = read(file);
    let saved = template.split("QueryString: |-\n").skip(1).map(|rest| {
        let lines = rest.lines().take_while(|line| line.starts_with("        "));
        lines.collect::<Vec<_>>().join("\n")
    });
    let mut queries: Vec<Text> = saved.map(|text| Text { file: file.to_owned(), text }).collect();
    for file in [file, ops::cloudwatch::DASHBOARD] {
        let text = read(file);
        let graphs = text.lines().filter_map(|line| line.trim().strip_prefix("\"query\": \""));
        let graphs = graphs.map(|rest| rest.trim_end_matches([',', '"']).replace("\\n", "\n").replace("\\\"", "\""));
        queries.extend(graphs.map(|text| Text { file: file.to_owned(), text }));
    }
    for (file, blocks) in pages() {
        let logs = blocks.into_iter().filter(|block| block.language == "logs");
        queries.extend(logs.map(|block| Text { file: file.clone(), text: block.text }));
    }
    queries
});

fn read(file: &str) -> String {
    here().read(file).unwrap_or_else(|problem| panic!("{problem}"))
}

fn pages() -> impl Iterator<Item = (String, Vec<runbook::Block>)> {
    let runbooks = here().names(runbook::FOLDER, ".md").into_iter().map(|name| format!("{}/{name}", runbook::FOLDER));
    runbooks.chain(PAGES.map(str::to_owned)).map(|file| {
        let blocks = runbook::blocks(&read(&file));
        (file, blocks)
    })
}

/// `@timestamp` is CloudWatch's own and not our `timestamp`.
fn is_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || ['_', '@'].contains(&letter)
}

/// The text before and after each place where a whole word stands.
fn places<'a>(text: &'a str, word: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
    let length = word.len();
    text.match_indices(word)
        .map(move |(at, _)| (&text[..at], &text[at + length..]))
        .filter(|(before, after)| !before.ends_with(is_word) && !after.starts_with(is_word))
}

fn has(text: &str, word: &str) -> bool {
    places(text, word).next().is_some()
}

/// A metric's name, and those of a histogram's parts.
fn series(metric: &str) -> [String; 4] {
    ["", "_bucket", "_sum", "_count"].map(|part| format!("{metric}{part}"))
}

/// The files that name a metric.
pub(crate) fn of_metric(metric: &str) -> BTreeSet<String> {
    let names = series(metric);
    let using = TEXTS.iter().filter(|text| names.iter().any(|name| has(&text.text, name)));
    using.map(|text| text.file.clone()).collect()
}

/// The files that choose by a label of a metric, `metric{label…}`, or group by it in a line that names no other metric.
pub(crate) fn of_label(metric: &str, label: &str, catalogue: &Catalogue) -> BTreeSet<String> {
    let names = series(metric);
    let chooses = |text: &str| {
        let selectors = names
            .iter()
            .flat_map(|name| places(text, name))
            .filter_map(|(_, after)| Some(after.strip_prefix('{')?.split_once('}')?.0));
        selectors.into_iter().any(|matchers| has(matchers, label))
    };
    let groups = |line: &str| {
        let lists = line.split("by (").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0));
        lists.into_iter().any(|list| has(list, label))
            && names.iter().any(|name| has(line, name))
            && catalogue
                .metrics
                .keys()
                .filter(|other| *other != metric)
                .all(|other| !line.contains(other.as_str()) || series(other).iter().all(|name| !has(line, name)))
    };
    let using = TEXTS.iter().filter(|text| chooses(&text.text) || text.text.lines().any(groups));
    using.map(|text| text.file.clone()).collect()
}

/// The files with a query that names a field which, without this event's, no line that it finds has.
pub(crate) fn of_field(event: &str, field: &str, catalogue: &Catalogue) -> BTreeSet<String> {
    let using = QUERIES.iter().filter(|query| {
        let named = catalogue.levels.keys().filter(|known| query.text.contains(&format!("event = \"{known}\"")));
        let mut events: BTreeSet<&str> = named.map(String::as_str).collect();
        // A query that names none, or a list, is one on all.
        if events.is_empty() || query.text.contains("event in") {
            events = catalogue.levels.keys().map(String::as_str).collect();
        }
        events.insert("");
        let having = events
            .iter()
            .filter(|event| catalogue.fields.get(**event).is_some_and(|all| all.iter().any(|one| one == field)));
        having.eq([&event]) && has(&bare(&query.text), field)
    });
    using.map(|query| query.file.clone()).collect()
}

/// A query without what stands in quotes or is a pattern, and without the command that begins each stage: `filter` is
/// also a field's name.
fn bare(query: &str) -> String {
    let parts = query.split('"').step_by(2).collect::<Vec<_>>().join(" ");
    let parts = parts.split('/').step_by(2).collect::<Vec<_>>().join(" ");
    let stages = parts.split('|').filter_map(|stage| Some(stage.trim().split_once(' ')?.1));
    stages.collect::<Vec<_>>().join(" | ")
}

#[test]
fn a_user_is_found_by_whole_words_only() {
    assert!(has("sum(panics_total)", "panics_total") && has("x\npanics_total", "panics_total"));
    assert!(!has("my_panics_total", "panics_total") && !has("panics_total_2", "panics_total"));
    assert!(!has("fields @timestamp", "timestamp"), "CloudWatch's own field");
    assert_eq!(bare("filter event = \"status\" and route like /status/ | stats x"), "event =   and route like | x");
    assert!(TEXTS.len() > 100 && QUERIES.len() > 50, "{} texts, {} queries", TEXTS.len(), QUERIES.len());
}
