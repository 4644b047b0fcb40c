//! The plans that PostgreSQL really ran, read from the server's log, where `auto_explain` writes them.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use serde_json::Value;

use crate::harness::postgres::{Cluster, Database};

/// Reads plans as they are written.
pub struct Log {
    file: File,
    /// The beginning of an entry that was still being written.
    unread: String,
}

impl Log {
    /// Has every statement of new connections to `database` explained from now on.
    pub fn of(cluster: &Cluster, database: &Database) -> Self {
        for setting in [
            "log_min_duration = 0",
            "log_analyze = on",
            "log_buffers = on",
            "log_timing = off",
            "log_format = json",
            "log_nested_statements = off",
        ] {
            database.psql(&format!("ALTER DATABASE {} SET auto_explain.{setting}", database.name));
        }
        let mut file = File::open(cluster.directory().join("log")).expect("the server's log");
        file.seek(SeekFrom::End(0)).expect("a file");
        Self { file, unread: String::new() }
    }

    /// The plans written since the last call, of statements whose text has `part`. A plan is written before the answer to
    /// its statement is sent, so after an answer it is here. That of another statement may be half written: it waits for the
    /// next call.
    pub fn plans(&mut self, part: &str) -> Vec<Plan> {
        self.file.read_to_string(&mut self.unread).expect("the log is text");
        let text = std::mem::take(&mut self.unread);
        let mut plans = Vec::new();
        for entry in text.split_inclusive(" plan:\n").skip(1) {
            // The lines of an entry after its first begin with a tab.
            let body: String = entry.lines().take_while(|line| line.starts_with('\t')).collect();
            match serde_json::from_str::<Value>(&body) {
                Ok(plan) if plan["Query Text"].as_str().is_some_and(|query| query.contains(part)) => {
                    plans.push(Plan::read(&plan));
                }
                Ok(_) => {}
                Err(error) if error.is_eof() && text.ends_with(entry) => self.unread = format!(" plan:\n{entry}"),
                Err(error) => panic!("{error}: {body}"),
            }
        }
        plans
    }
}

/// What matters of one executed plan.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Indexes of `tasks` that were used.
    pub indexes: BTreeSet<String>,
    /// Rows of `tasks` that were looked at, in an index or in the table, also those that a filter then threw away.
    pub rows: u64,
    /// Pages that were looked at, in memory or not: by the query as a whole, or by what a `WITH` wrote if that were more.
    pub buffers: u64,
    /// `tasks`, or their activity, was read from end to end.
    pub sequential: bool,
    /// It was made for any parameters, not for these.
    pub generic: bool,
    /// The plan as it came.
    pub json: String,
}

impl Plan {
    fn read(explained: &Value) -> Self {
        let mut plan = Plan { json: explained.to_string(), ..Plan::default() };
        plan.visit(&explained["Plan"]);
        plan
    }

    fn visit(&mut self, node: &Value) {
        let text = |name: &str| node[name].as_str().unwrap_or_default();
        let loops = number(node, "Actual Loops");
        // Those of a node hold those below it, but for what a `WITH` wrote.
        self.buffers = self.buffers.max(number(node, "Shared Hit Blocks") + number(node, "Shared Read Blocks"));
        if let Some(index) = node["Index Name"].as_str().filter(|index| index.starts_with("tasks")) {
            self.indexes.insert(index.trim_start_matches("tasks_").to_owned());
            self.rows += number(node, "Actual Rows") * loops;
        }
        self.sequential |= text("Relation Name").starts_with("task") && text("Node Type") == "Seq Scan";
        if text("Relation Name") == "tasks" {
            self.rows +=
                (number(node, "Rows Removed by Filter") + number(node, "Rows Removed by Index Recheck")) * loops;
        }
        let conditions = ["Index Cond", "Filter", "Recheck Cond"].map(text);
        self.generic |= conditions.iter().any(|condition| condition.contains('$'));
        for child in node["Plans"].as_array().into_iter().flatten() {
            self.visit(child);
        }
    }
}

fn number(node: &Value, name: &str) -> u64 {
    // A row in each of two loops out of three are 0.67 rows, from PostgreSQL 18 on.
    node[name].as_f64().map_or(0, |number| number.ceil() as u64)
}
