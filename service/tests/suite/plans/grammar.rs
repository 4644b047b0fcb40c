//! What a list of tasks can be asked for, as the API's users know it, and the same in plain SQL: the answer to compare with.

/// One filter with one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// The parameter.
    pub name: &'static str,
    /// Its value, as it stands in the query string.
    pub value: String,
    /// How often the value occurs, in words, for the table.
    pub kind: &'static str,
    /// The same as a condition on a row of `tasks`.
    pub sql: String,
}

/// The orders: what `sort` takes without its sign, and the columns that define it.
pub const SORTS: [(&str, &[&str]); 4] = [
    ("created_at", &["created_at", "id"]),
    ("updated_at", &["updated_at", "id"]),
    ("due_at", &["due_key", "id"]),
    ("priority", &["priority", "created_at", "id"]),
];

/// What stands in the database and is needed to ask for it.
pub struct Values {
    /// Somebody who has a large share of the assigned tasks.
    pub busy: String,
    /// Somebody who has few.
    pub idle: String,
    /// The parent of a great many.
    pub epic: String,
    /// The parent of a few.
    pub story: String,
}

/// Every filter but the project, each with values of different frequency, the most frequent first.
pub fn filters(values: &Values) -> Vec<Vec<Filter>> {
    let all = |name: &'static str, values: &[(&'static str, &str)], sql: &dyn Fn(&str) -> String| {
        let filter =
            |(kind, value): &(&'static str, &str)| Filter { name, value: (*value).to_owned(), kind, sql: sql(value) };
        values.iter().map(filter).collect::<Vec<_>>()
    };
    let rank = |priority: &str| ["low", "medium", "high", "urgent"].iter().position(|other| *other == priority);
    vec![
        all("status", &[("most", "done"), ("few", "blocked")], &|value| format!("status = '{value}'")),
        all("priority", &[("most", "medium"), ("few", "urgent")], &|value| {
            format!("priority = {}", rank(value).expect("a priority"))
        }),
        all("assignee_id", &[("many", &values.busy), ("few", &values.idle)], &|value| {
            format!("assignee_id = '{value}'")
        }),
        all("label", &[("many", "bug"), ("few", "security"), ("rare", "audit")], &|value| {
            format!("'{value}' = ANY (labels)")
        }),
        all("parent_id", &[("many", &values.epic), ("few", &values.story)], &|value| format!("parent_id = '{value}'")),
        all("due_before", &[("half", "2025-06-01T00:00:00Z"), ("few", "2023-12-01T00:00:00Z")], &|value| {
            format!("due_at < '{value}'")
        }),
        all("due_after", &[("most", "2024-06-01T00:00:00Z"), ("few", "2026-12-15T00:00:00Z")], &|value| {
            format!("due_at >= '{value}'")
        }),
        all("q", &[("many", "word1"), ("few", "word100"), ("rare", "word9000")], &|value| {
            format!("' ' || title || ' ' || description || ' ' LIKE '% {value} %'")
        }),
    ]
}

/// None, each one with each of its values, and all pairs of different parameters: the most frequent values together, and
/// the least frequent.
pub fn combinations(filters: &[Vec<Filter>]) -> Vec<Vec<Filter>> {
    let mut all = vec![Vec::new()];
    all.extend(filters.iter().flatten().map(|filter| vec![filter.clone()]));
    for (at, one) in filters.iter().enumerate() {
        for other in &filters[at + 1..] {
            all.push(vec![one[0].clone(), other[0].clone()]);
            all.push(vec![one[one.len() - 1].clone(), other[other.len() - 1].clone()]);
        }
    }
    all
}

/// One list: what is asked, and what should come.
pub struct List<'a> {
    /// Beside the project.
    pub filters: &'a [Filter],
    /// Of one project, the big one; else of all that the reader is a member of.
    pub in_project: bool,
    /// As the API spells it.
    pub sort: &'static str,
    /// The columns that define it.
    pub columns: &'static [&'static str],
    /// Whether the largest comes first.
    pub descending: bool,
}

impl List<'_> {
    /// The parameters, `name=value`.
    pub fn pairs(&self, project: &str) -> Vec<String> {
        let mut pairs: Vec<String> =
            self.filters.iter().map(|filter| format!("{}={}", filter.name, filter.value)).collect();
        if self.in_project {
            pairs.push(format!("project_id={project}"));
        }
        pairs.push(format!("sort={}{}", if self.descending { "-" } else { "" }, self.sort));
        pairs
    }
}

impl std::fmt::Display for List<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let filters: Vec<String> =
            self.filters.iter().map(|filter| format!("{} ({})", filter.name, filter.kind)).collect();
        let filters = if filters.is_empty() { "none".to_owned() } else { filters.join(" + ") };
        let scope = if self.in_project { "project" } else { "all" };
        let sign = if self.descending { "-" } else { "" };
        write!(f, "{filters:<42} {scope:<8} {sign}{:<11}", self.sort)
    }
}
