//! What the lists cost, as a table, and whether each may cost that.

use std::collections::{BTreeMap, BTreeSet};

use super::LIMIT;
use super::explain::Plan;
use super::grammar::{Filter, List, SORTS};
use crate::harness::reply::Reply;

/// Pages of memory that a deep page may take beyond one and a half times those of the first: the rows of one page lie
/// together in the table on the one and apart on the other.
const BUFFERS_ALLOWED: u64 = 60;
/// Projects that the reader is a member of: ten and the personal one. Each is asked for a page.
const MEMBERSHIPS: u64 = 11;
/// How far the planner may be off: it estimates, and tasks of one kind do not lie evenly.
const TOLERANCE: u64 = 4;

/// What was found so far.
#[derive(Default)]
pub struct Report {
    lines: Vec<String>,
    failures: Vec<String>,
    matches: BTreeMap<String, u64>,
    generic: bool,
}

fn name(filters: &[Filter], in_project: bool) -> String {
    let filters: Vec<String> = filters.iter().map(|filter| format!("{}={}", filter.name, filter.value)).collect();
    format!("{in_project} {}", filters.join(" "))
}

impl Report {
    /// Notes how many tasks a set of filters matches.
    pub fn counted(&mut self, filters: &[Filter], in_project: bool, matches: u64) {
        self.matches.insert(name(filters, in_project), matches);
    }

    fn count(&self, filters: &[Filter], in_project: bool) -> u64 {
        self.matches[&name(filters, in_project)]
    }

    /// Whether an index delivers the page in its order, with nothing to pass over.
    fn is_ordered(list: &List<'_>) -> bool {
        list.filters.len() <= 1 && list.filters.iter().all(|filter| !matches!(filter.name, "label" | "q"))
    }

    /// The most rows that a page may look at. One filter that an index delivers in order: a page of each project. Else either
    /// all that the narrower filter matches, in the index and in the table, or what has to be passed on the way to a
    /// page of matches; the planner knows which is less.
    fn rows_allowed(&self, list: &List<'_>) -> u64 {
        let page = (LIMIT as u64 + 1) * if list.in_project { 1 } else { MEMBERSHIPS };
        if Self::is_ordered(list) {
            return page + page / 2;
        }
        let count = |filters: &[Filter]| self.count(filters, list.in_project);
        let narrower = list.filters.iter().map(|filter| count(std::slice::from_ref(filter))).min().unwrap_or(0);
        let passed = page * count(&[]) / count(list.filters).max(1);
        TOLERANCE * (page + passed.min(2 * narrower))
    }

    /// Judges the plans of a list's first page and of a deep one.
    pub fn measured(&mut self, list: &List<'_>, depth: u64, first: &[Plan], deep: &[Plan]) {
        let most = |plans: &[Plan], of: fn(&Plan) -> u64| plans.iter().map(of).max().unwrap_or(0);
        let (first_buffers, deep_buffers) = (most(first, |plan| plan.buffers), most(deep, |plan| plan.buffers));
        let (first_rows, deep_rows) = (most(first, |plan| plan.rows), most(deep, |plan| plan.rows));
        let both = || first.iter().chain(deep);
        let indexes: BTreeSet<&str> = both().flat_map(|plan| plan.indexes.iter().map(String::as_str)).collect();
        let indexes: Vec<&str> = indexes.into_iter().collect();
        let generic = both().any(|plan| plan.generic);
        self.generic |= generic;
        let matches = self.count(list.filters, list.in_project);
        self.lines.push(format!(
            "{list} {matches:>8} {depth:>7} {first_rows:>7} {deep_rows:>7} {first_buffers:>7} {deep_buffers:>7} {:<7} {}",
            if generic { "generic" } else { "custom" },
            indexes.join(", "),
        ));
        let mut failures = Vec::new();
        let mut fail = |why: String| failures.push(format!("{list}: {why}"));
        if let Some(plan) = both().find(|plan| plan.sequential) {
            fail(format!("reads the whole table: {}", plan.json));
        }
        let allowed = self.rows_allowed(list);
        // Where the planner has a choice it may choose differently at depth, within what it may look at anyway.
        let choice = if Self::is_ordered(list) { 0 } else { allowed };
        if deep_buffers > choice.max(first_buffers * 3 / 2 + BUFFERS_ALLOWED) {
            fail(format!("{first_buffers} buffers for the first page, {deep_buffers} for the deep one"));
        }
        if first_rows.max(deep_rows) > allowed {
            fail(format!("looks at {first_rows} and {deep_rows} rows, {allowed} are allowed"));
        }
        self.failures.extend(failures);
    }

    /// Checks that a refusal names the sorts that are served, and no other.
    pub fn refused(&mut self, refused: Vec<(List<'_>, Reply)>) {
        let sorts: BTreeSet<&str> = refused.iter().map(|(list, _)| list.sort).collect();
        let served: Vec<&str> = SORTS.iter().map(|(sort, _)| *sort).filter(|sort| !sorts.contains(sort)).collect();
        for (list, reply) in refused {
            let reply = reply.problem(400, "unsupported-query").pointer("/sort");
            let (detail, says) =
                (reply.text_at("/detail"), format!("served with sort by {}, either way", served.join(" or ")));
            assert!(!served.is_empty() && detail.ends_with(&says), "{list}: it should say {says:?}\n{reply}");
            self.lines.push(format!("{list} refused: {detail}"));
        }
    }

    /// Writes the table, and fails if a list may not cost what it does.
    #[expect(clippy::print_stdout, reason = "the table is for whoever runs this test with --nocapture")]
    pub fn finish(self) {
        let head = format!(
            "{:<42} {:<8} {:<12} {:>8} {:>7} {:>7} {:>7} {:>7} {:>7}",
            "filters", "scope", "sort", "matches", "depth", "rows", "deep", "buffers", "deep"
        );
        let table = format!("{head}\n{}\n", self.lines.join("\n"));
        std::fs::write(concat!(env!("CARGO_TARGET_TMPDIR"), "/plans.txt"), &table).expect("a file");
        println!("{table}");
        assert!(self.failures.is_empty(), "{:#?}", self.failures);
        assert!(self.generic, "no plan was made for any parameters: this test would not notice a bad one");
    }
}
