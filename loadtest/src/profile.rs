//! The workload profile: what clients do, from a file.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// The profile that a run has when none is named.
pub const DEFAULT: &str = include_str!("../profiles/default.toml");
/// The profile of the self-test.
pub const SELF_TEST: &str = include_str!("../profiles/self-test.toml");

/// Most people of a run: each is registered, which costs the target a password's hash.
pub const USERS_MAX: usize = 500;
/// Most tasks made before the first request.
pub const TASKS_MAX: usize = 500_000;

/// What one request does. The report judges each apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// A page of tasks, newest first.
    List,
    /// The page after the last one seen.
    Page,
    /// A page with a filter: a status, a priority, a label, a due date.
    Filter,
    /// A page of the tasks that have a word.
    Search,
    /// One task.
    Get,
    /// A new task.
    Create,
    /// A change with `If-Match`.
    Patch,
    /// To the trash, with `If-Match`.
    Delete,
}

impl Operation {
    /// Every operation, in the order of reports.
    pub const ALL: [Self; 8] =
        [Self::List, Self::Page, Self::Filter, Self::Search, Self::Get, Self::Create, Self::Patch, Self::Delete];

    /// As profiles and reports spell it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Page => "page",
            Self::Filter => "filter",
            Self::Search => "search",
            Self::Get => "get",
            Self::Create => "create",
            Self::Patch => "patch",
            Self::Delete => "delete",
        }
    }

    /// The method and the route under which the target's metrics count it.
    pub const fn route(self) -> (&'static str, &'static str) {
        match self {
            Self::List | Self::Page | Self::Filter | Self::Search => ("GET", "/api/v1/tasks"),
            Self::Create => ("POST", "/api/v1/tasks"),
            Self::Get => ("GET", "/api/v1/tasks/{id}"),
            Self::Patch => ("PATCH", "/api/v1/tasks/{id}"),
            Self::Delete => ("DELETE", "/api/v1/tasks/{id}"),
        }
    }
}

/// What somebody does in one go.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Journey {
    /// For reports.
    pub name: String,
    /// How often it is begun, against the other weights.
    pub weight: u32,
    /// Its requests.
    pub steps: Vec<Operation>,
}

/// What clients do.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// People, each with a project.
    pub users: usize,
    /// Tasks before the first request.
    pub tasks: usize,
    /// Exponent of the choice of tasks and people, from 0 (even) to 2.
    pub zipf: f64,
    /// `limit` of a list.
    pub page_sizes: Vec<u32>,
    /// Bytes of a new task's description, from and to.
    pub description_bytes: [usize; 2],
    /// The journeys.
    #[serde(rename = "journey")]
    pub journeys: Vec<Journey>,
}

impl Profile {
    /// Reads a file, or the built-in default.
    ///
    /// # Errors
    /// One line with file, line and what is wrong.
    pub fn read(path: Option<&Path>) -> Result<Self, String> {
        let Some(path) = path else { return Self::parse(DEFAULT, "the default profile") };
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| format!("{name}: cannot be read: {error}"))?;
        Self::parse(&text, &name)
    }

    /// Reads the text of a file called `name` in messages.
    ///
    /// # Errors
    /// As [`Profile::read`].
    pub fn parse(text: &str, name: &str) -> Result<Self, String> {
        let profile: Self = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            format!("{name}:{line}: {}", error.message().trim().replace('\n', "; "))
        })?;
        profile.check().map_err(|why| format!("{name}: {why}"))?;
        Ok(profile)
    }

    fn check(&self) -> Result<(), String> {
        let [from, to] = self.description_bytes;
        let rules = [
            ((1..=USERS_MAX).contains(&self.users), format!("users takes 1 to {USERS_MAX}")),
            ((self.users..=TASKS_MAX).contains(&self.tasks), format!("tasks takes users to {TASKS_MAX}")),
            ((0.0..=2.0).contains(&self.zipf), "zipf takes 0 to 2".to_owned()),
            (
                !self.page_sizes.is_empty() && self.page_sizes.iter().all(|size| (1..=200).contains(size)),
                "page_sizes takes one or more of 1 to 200".to_owned(),
            ),
            (from <= to && to <= 65_536, "description_bytes takes two sizes up to 65536, the smaller first".to_owned()),
            (!self.journeys.is_empty() && self.journeys.len() <= 50, "takes 1 to 50 journeys".to_owned()),
        ];
        if let Some((_, why)) = rules.into_iter().find(|(holds, _)| !holds) {
            return Err(why);
        }
        match self.journeys.iter().find(|journey| {
            !(1..=1_000).contains(&journey.weight)
                || !(1..=20).contains(&journey.steps.len())
                || journey.name.is_empty()
        }) {
            Some(journey) => {
                Err(format!("journey {:?} takes a name, a weight of 1 to 1000 and 1 to 20 steps", journey.name))
            }
            None => Ok(()),
        }
    }

    /// The share of requests that do this, from 0 to 1.
    pub fn share(&self, operation: Operation) -> f64 {
        let count = |matches: &dyn Fn(&Operation) -> bool| -> u64 {
            let of = |journey: &Journey| {
                u64::from(journey.weight) * journey.steps.iter().filter(|step| matches(step)).count() as u64
            };
            self.journeys.iter().map(of).sum()
        };
        count(&|step| *step == operation) as f64 / count(&|_| true).max(1) as f64
    }

    /// The operations that it has, in the order of reports.
    pub fn operations(&self) -> Vec<Operation> {
        Operation::ALL.into_iter().filter(|operation| self.share(*operation) > 0.0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_mix_is_what_its_head_says() {
        let profile = Profile::read(None).expect("the default profile is valid");
        let percent = |operation| (profile.share(operation) * 100.0).round();
        assert_eq!(
            Operation::ALL.map(percent),
            [17.0, 7.0, 10.0, 6.0, 30.0, 15.0, 10.0, 5.0],
            "list, page, filter, search, get, create, patch, delete"
        );
    }

    #[test]
    fn an_unknown_key_or_step_names_file_and_line() {
        let refused = |from: &str, to: &str| {
            let text = DEFAULT.replacen(from, to, 1);
            assert_ne!(text, DEFAULT);
            Profile::parse(&text, "p.toml").expect_err("refused")
        };
        assert!(refused("users = 20", "usres = 20").starts_with("p.toml:4: unknown field `usres`"));
        assert!(refused("\"page\"", "\"pgae\"").contains("unknown variant `pgae`"));
        assert!(refused("users = 20", "users = 0").starts_with("p.toml: users takes 1 to"));
        assert!(refused("zipf = 1.0", "zipf = nan").contains("zipf takes 0 to 2"));
        assert!(refused("weight = 7", "weight = 0").contains("journey \"browse\" takes"));
        assert!(!refused("users = 20", "usres = 20").contains('\n'));
    }
}
