//! `GET /tasks`: a page of tasks, filtered and sorted.

use std::sync::Arc;

use axum::extract::State;
use http::{HeaderName, header};
use utoipa::ToSchema;

use super::model::{Priority, Status};
use crate::app::AppState;
use crate::http::extract::Caller;
use crate::http::json::WrittenJson;
use crate::http::problem::{FieldError, Kind, Problem};
use crate::http::query::Parameters;
use crate::store::tasks::{Direction, Filter, Key, Listed, Order, Sort};

/// A page of tasks.
#[derive(Debug, ToSchema)]
pub struct TaskPage {
    /// In the order asked for.
    #[schema(value_type = Vec<super::model::Task>)]
    pub items: Listed,
    /// Where the next page starts; null on the last one.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
}

/// The parameters that the list knows.
const KNOWN: [&str; 12] = [
    "project_id",
    "status",
    "priority",
    "assignee_id",
    "label",
    "parent_id",
    "due_before",
    "due_after",
    "q",
    "sort",
    "limit",
    "cursor",
];

const SORTS: &str = "takes one of created_at, updated_at, due_at, priority, or one of them behind a - for descending";

/// The sorts that filters by due date go with, beside whatever other filter: the dates bound what is read.
const SERVED_WITH_DUE: [Sort; 1] = [Sort::DueAt];

/// Which other filters go with which sorts; what is not named goes with all. A page in an order that is not here could only
/// be found by reading every task of the project, or of the person.
const SERVED: [(&str, &[Sort]); 5] = [
    ("q", &[Sort::CreatedAt]),
    ("label", &[Sort::CreatedAt]),
    ("parent_id", &[Sort::CreatedAt]),
    ("assignee_id", &[Sort::CreatedAt, Sort::DueAt]),
    ("priority", &[Sort::CreatedAt, Sort::Priority]),
];

/// Characters of `q` at most.
const Q_MAX: usize = 200;
/// Words of `q` at most.
const WORDS_MAX: usize = 16;

/// The order: newest first when none is asked for, or soonest due first when the filter is about due dates.
fn order(parameters: &Parameters) -> Result<Order, Problem> {
    let given = |name: &&str| parameters.get(name).is_some();
    let by_due: Vec<&str> = ["due_before", "due_after"].into_iter().filter(given).collect();
    let text = parameters.get("sort").unwrap_or(if by_due.is_empty() { "-created_at" } else { "due_at" });
    let (direction, name) = match text.strip_prefix('-') {
        Some(name) => (Direction::Descending, name),
        None => (Direction::Ascending, text),
    };
    let sort = Sort::ALL.into_iter().find(|sort| sort.as_str() == name);
    let sort = sort.ok_or_else(|| Problem::invalid_parameter("sort", SORTS))?;
    let (filters, served) = if by_due.is_empty() {
        let given: Vec<_> = SERVED.into_iter().filter(|(name, _)| given(name)).collect();
        let served = Sort::ALL.into_iter().filter(|sort| given.iter().all(|(_, sorts)| sorts.contains(sort)));
        (given.iter().map(|(name, _)| *name).collect(), served.collect())
    } else {
        (by_due, SERVED_WITH_DUE.to_vec())
    };
    if served.contains(&sort) {
        return Ok(Order { sort, direction });
    }
    let served: Vec<&str> = served.into_iter().map(Sort::as_str).collect();
    let verb = if filters.len() == 1 { "is" } else { "are" };
    let detail = format!("{} {verb} served with sort by {}, either way", filters.join(" and "), served.join(" or "));
    Err(Problem::new(Kind::UnsupportedQuery, detail.clone()).with_errors(vec![FieldError::new("/sort", detail)]))
}

/// Characters that belong to the letter before them though they are no letters: the accents of decomposed text, vowel signs,
/// viramas and tone marks, the joiners between them. Both databases take them as part of a word, so a query must not lose them.
fn is_mark(c: char) -> bool {
    matches!(c,
        '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{591}'..='\u{5bd}' | '\u{5bf}' | '\u{5c1}'..='\u{5c2}'
        | '\u{5c4}'..='\u{5c5}' | '\u{5c7}' | '\u{610}'..='\u{61a}' | '\u{64b}'..='\u{65f}' | '\u{6d6}'..='\u{6dc}'
        | '\u{6df}'..='\u{6e8}' | '\u{6ea}'..='\u{6ed}' | '\u{700}'..='\u{74a}' | '\u{900}'..='\u{963}'
        | '\u{980}'..='\u{df3}' | '\u{e31}'..='\u{e3a}' | '\u{e47}'..='\u{e4e}' | '\u{eb1}'..='\u{ece}'
        | '\u{f18}'..='\u{f39}' | '\u{f71}'..='\u{f84}' | '\u{102b}'..='\u{103e}' | '\u{1714}'..='\u{1734}'
        | '\u{17b4}'..='\u{17d3}' | '\u{1ab0}'..='\u{1b44}' | '\u{1dc0}'..='\u{1dff}' | '\u{200c}'..='\u{200d}'
        | '\u{20d0}'..='\u{20ff}' | '\u{302a}'..='\u{302f}' | '\u{3099}'..='\u{309a}' | '\u{fe20}'..='\u{fe2f}')
}

fn words(parameters: &Parameters) -> Result<Option<Vec<String>>, Problem> {
    let Some(q) = parameters.get("q") else { return Ok(None) };
    let words: Vec<String> = q
        .split(|c: char| !c.is_alphanumeric() && !is_mark(c))
        .filter(|word| word.contains(char::is_alphanumeric))
        .map(str::to_lowercase)
        .collect();
    if words.is_empty() || words.len() > WORDS_MAX || q.chars().count() > Q_MAX {
        let takes = format!("takes 1 to {WORDS_MAX} words of letters and digits, in up to {Q_MAX} characters");
        return Err(Problem::invalid_parameter("q", takes));
    }
    Ok(Some(words))
}

fn filter(parameters: &Parameters) -> Result<Filter, Problem> {
    let label = parameters.get("label").map(str::to_owned);
    if label.as_ref().is_some_and(|label| label.is_empty() || label.chars().count() > super::requests::LABEL_MAX) {
        return Err(Problem::invalid_parameter("label", "takes 1 to 50 characters"));
    }
    Ok(Filter {
        project_id: parameters.id("project_id")?,
        status: parameters.word::<Status>("status", &Status::ALL.map(Status::as_str))?,
        priority: parameters.word::<Priority>("priority", &Priority::ALL.map(Priority::as_str))?,
        assignee_id: parameters.id("assignee_id")?,
        label,
        parent_id: parameters.id("parent_id")?,
        due_before: parameters.instant("due_before")?,
        due_after: parameters.instant("due_after")?,
        words: words(parameters)?,
    })
}

/// Tasks of the caller's projects.
///
/// `project_id` and `status` go with every sort; `q`, `label` and `parent_id` with `created_at`; `assignee_id` with
/// `created_at` and `due_at`; `priority` with `created_at` and `priority`. With `due_before` or `due_after`, whatever
/// else is filtered, the sort is `due_at`, which is then the default. What is not served together is refused with 400.
#[utoipa::path(
    get, path = "/api/v1/tasks", tag = "tasks", operation_id = "list_tasks", security(("bearer" = [])),
    params(
        ("project_id" = Option<Uuid>, Query, description = "Tasks of this project"),
        ("status" = Option<Status>, Query, description = "Tasks with this status"),
        ("priority" = Option<Priority>, Query, description = "Tasks with this priority"),
        ("assignee_id" = Option<Uuid>, Query, description = "Tasks of this person"),
        ("label" = Option<String>, Query, description = "Tasks with this label", min_length = 1, max_length = 50),
        ("parent_id" = Option<Uuid>, Query, description = "Direct subtasks of this task"),
        ("due_before" = Option<String>, Query, format = DateTime, description = "Tasks due before this instant"),
        ("due_after" = Option<String>, Query, format = DateTime, description = "Tasks due at this instant or after it"),
        ("q" = Option<String>, Query, description = "Tasks whose title or description has all these words", min_length = 1, max_length = 200),
        ("sort" = Option<String>, Query, description = "`created_at`, `updated_at`, `due_at` or `priority`; descending behind a `-`; `-created_at` if left out, or `due_at` with `due_before` or `due_after`", pattern = "^-?(created_at|updated_at|due_at|priority)$", example = "-created_at"),
        ("limit" = Option<u32>, Query, description = "Rows of the page, 50 if left out", minimum = 1, maximum = 200),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before, with the same filter and sort"),
    ),
    responses((status = 200, description = "A page", body = TaskPage, headers(("link" = String, description = "The next page, `rel=\"next\"`, when there is one"))))
)]
pub async fn list_tasks(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    parameters: Parameters,
) -> Result<(Option<[(HeaderName, String); 1]>, WrittenJson<TaskPage>), Problem> {
    parameters.expect(&KNOWN)?;
    let order = order(&parameters)?;
    let filter = filter(&parameters)?;
    let limit = parameters.limit()?;
    let user_id = caller.0.user_id;
    let scope = parameters.scope(user_id, "tasks");
    let after = parameters.get("cursor").map(|cursor| state.cursors.open(scope, cursor)).transpose()?;
    let (items, more) = state.db.list_tasks(user_id, &filter, order, after, limit).await?;
    let last = items.last().filter(|_| more);
    let next_cursor = last.map(|last| state.cursors.seal(scope, Key::of(last, order.sort)));
    let link = next_cursor.as_ref().map(|cursor| {
        let target = format!("</api/v1/tasks?{}>; rel=\"next\"", parameters.with_cursor(cursor));
        [(header::LINK, target)]
    });
    Ok((link, WrittenJson(TaskPage { items, next_cursor })))
}
