//! A dashboard's file, and where in it the rules look.

use serde_json::Value;

use crate::grafana::variables;
use crate::tree::{Problem, Tree};

/// A parsed file.
pub(super) struct File {
    /// From the repository's root.
    pub(super) path: String,
    /// All of it.
    pub(super) json: Value,
}

impl File {
    /// Reads and parses it.
    pub(super) fn read(tree: &Tree, path: &str) -> Result<Self, Problem> {
        let json = serde_json::from_str(&tree.read(path)?)
            .map_err(|error| Problem::new(path, format!("is not JSON: {error}")))?;
        Ok(Self { path: path.to_owned(), json })
    }

    /// Every panel, headings left out.
    pub(super) fn panels(&self) -> impl Iterator<Item = &Value> {
        list(&self.json["panels"]).filter(|panel| panel["type"] != "row")
    }

    /// Every variable.
    pub(super) fn variables(&self) -> impl Iterator<Item = &Value> {
        list(&self.json["templating"]["list"])
    }

    /// Whether the dashboard has such a variable.
    pub(super) fn has_variable(&self, name: &str) -> bool {
        self.variables().any(|variable| variable["name"] == name)
    }

    /// The expressions of a panel.
    pub(super) fn expressions(panel: &Value) -> impl Iterator<Item = &str> {
        list(&panel["targets"]).map(|target| text(&target["expr"]))
    }

    /// A query as Prometheus gets it, with a chosen value for each variable: its name, in capitals.
    ///
    /// # Errors
    /// The name of a variable that the dashboard does not have.
    pub(super) fn with_names(&self, expression: &str) -> Result<String, String> {
        self.replaced(expression, |name| name.to_uppercase())
    }

    /// The same, with "All" chosen everywhere, as a pattern that matches every value of ours; `.` would be every character
    /// there is, which takes a debug build a hundred times as long to compile.
    pub(super) fn with_all(&self, expression: &str) -> Result<String, String> {
        self.replaced(expression, |_| "[!-~]+".to_owned())
    }

    fn replaced(&self, expression: &str, chosen: impl Fn(&str) -> String) -> Result<String, String> {
        variables::replace(expression, |name| {
            let own = variables::built_in(name).map(str::to_owned);
            own.or_else(|| self.has_variable(name).then(|| chosen(name)))
        })
    }
}

/// The members of a list; none of what is no list.
pub(super) fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// A string; empty for what is none.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
