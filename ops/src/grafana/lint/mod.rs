//! What must hold for the files of a tree, whoever wrote them: the rules of Grafana's dashboard-linter and ours.

mod coverage;
mod file;
mod limits;
mod panels;
mod queries;
mod settings;

use std::collections::BTreeSet;

use slo::Slo;

use super::{FOLDER, boards, provisioning};
use crate::catalogue::Catalogue;
use crate::promql::Known;
use crate::tree::{Problem, Tree};
use file::File;

/// What a rule looks at besides the file.
struct Ground<'a> {
    tree: &'a Tree,
    slo: &'a Slo,
    known: Known<'a>,
    /// The uids of the provisioned data sources.
    sources: BTreeSet<String>,
}

/// All that is wrong.
pub(super) fn problems(tree: &Tree, slo: &Slo, catalogue: &Catalogue) -> Vec<Problem> {
    let mut problems = Vec::new();
    let sources = sources(tree).unwrap_or_else(|problem| {
        problems.push(problem);
        BTreeSet::new()
    });
    let others = crate::prometheus::others(slo);
    let ground = Ground { tree, slo, known: Known { catalogue, others }, sources };

    let ours: BTreeSet<String> = boards::all(slo).iter().map(|board| format!("{}.json", board.uid)).collect();
    let mut files = Vec::new();
    for name in tree.names(FOLDER, ".json") {
        let path = format!("{FOLDER}/{name}");
        if !ours.contains(&name) {
            problems.push(Problem::new(&path, "is rendered by nobody: add it to ops/src/grafana/boards, or remove it"));
        }
        match File::read(tree, &path) {
            Ok(file) => files.push(file),
            Err(problem) => problems.push(problem),
        }
    }
    for file in &files {
        let mut found = settings::problems(file, &ground);
        found.extend(panels::problems(file, &ground));
        problems.extend(found.into_iter().map(|what| Problem::new(&file.path, what)));
    }
    problems.extend(coverage::problems(&files, &ground));
    problems
}

/// The uids of the provisioned data sources.
fn sources(tree: &Tree) -> Result<BTreeSet<String>, Problem> {
    let path = provisioning::DATASOURCES;
    let file: serde_json::Value = serde_norway::from_str(&tree.read(path)?)
        .map_err(|error| Problem::new(path, format!("is not YAML: {error}")))?;
    let sources = file["datasources"].as_array().into_iter().flatten();
    Ok(sources.filter_map(|source| source["uid"].as_str().map(str::to_owned)).collect())
}
