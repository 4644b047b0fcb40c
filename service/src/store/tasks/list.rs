//! One page of tasks: the filters, the sorts, and the statement that serves them.
//!
//! Every page comes off an index that leads with the project. The statement visits the caller's memberships (one, when the
//! filter names a project), takes at most a page from each project in order, and merges. On SQLite the projects of a user who
//! has a few are looked up first, and the statement walks their indexes side by side. A page deep in the list costs what the
//! first one costs: the key of the last row is compared as a row value, `(created_at, id) < (?, ?)`.

mod common;
mod listed;
mod postgres;
mod sqlite;

use diesel::sql_types::BigInt;
use jiff::Timestamp;
use uuid::Uuid;

use super::super::statement::{Bind, Statement};
use super::super::types::{Id, Instant, Labels};
use super::{TaskRow, columns};
use crate::store::{Backend, Db, StoreError};
use crate::tasks::model::{Priority, Status};
pub use listed::{Listed, Place, WrittenTasks};
use sqlite::PAGE_HERE_MAX;

/// What a page is ordered by. Ties are broken by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sort {
    /// When it was made.
    CreatedAt,
    /// When it last changed.
    UpdatedAt,
    /// When it is due; a task without a due date comes after all that have one.
    DueAt,
    /// How urgent it is, then when it was made.
    Priority,
}

impl Sort {
    /// Every sort.
    pub const ALL: [Sort; 4] = [Sort::CreatedAt, Sort::UpdatedAt, Sort::DueAt, Sort::Priority];

    /// The sort as the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Sort::CreatedAt => "created_at",
            Sort::UpdatedAt => "updated_at",
            Sort::DueAt => "due_at",
            Sort::Priority => "priority",
        }
    }

    /// The columns of the index that delivers this order. Among tasks of one priority, priority says nothing: left in, it would
    /// make PostgreSQL start each page at the first task of that priority.
    fn columns(self, filter: &Filter) -> &'static [&'static str] {
        match self {
            Sort::CreatedAt => &["created_at", "id"],
            Sort::UpdatedAt => &["updated_at", "id"],
            Sort::DueAt => &["due_key", "id"],
            Sort::Priority if filter.priority.is_some() => &["created_at", "id"],
            Sort::Priority => &["priority", "created_at", "id"],
        }
    }
}

/// Which end of the order comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Smallest first.
    Ascending,
    /// Largest first.
    Descending,
}

/// A sort and its direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Order {
    /// By what.
    pub sort: Sort,
    /// Which way.
    pub direction: Direction,
}

/// Where a page starts: behind the row with this key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// The sorted time in microseconds since 1970, or the priority's rank.
    pub first: i64,
    /// `created_at` in microseconds, when sorting by priority; else 0.
    pub second: i64,
    /// The task's id.
    pub id: Uuid,
}

impl Key {
    /// The key of a task in an order.
    pub fn of(task: impl Into<Place>, sort: Sort) -> Key {
        let Place { id, priority, due_at, created_at, updated_at } = task.into();
        let (first, second) = match sort {
            Sort::CreatedAt => (created_at.as_microsecond(), 0),
            Sort::UpdatedAt => (updated_at.as_microsecond(), 0),
            Sort::DueAt => (due_at.map_or(NO_DUE_MICROS, Timestamp::as_microsecond), 0),
            Sort::Priority => (priority.rank().into(), created_at.as_microsecond()),
        };
        Key { first, second, id }
    }

    /// The key as binds, or `None` when it cannot be a row's: a forged cursor would be needed.
    fn binds(self, sort: Sort, filter: &Filter) -> Option<Vec<Bind>> {
        let instant = |micros| Timestamp::from_microsecond(micros).ok().map(Bind::from);
        Some(match sort {
            Sort::Priority if filter.priority.is_some() => vec![instant(self.second)?, Bind::from(self.id)],
            Sort::Priority => {
                vec![Bind::from(i16::try_from(self.first).ok()?), instant(self.second)?, Bind::from(self.id)]
            }
            _ => vec![instant(self.first)?, Bind::from(self.id)],
        })
    }
}

/// `due_key` of a task without a due date: 9999-12-30T00:00:00Z, as the schema has it. The last instant that a [`Timestamp`]
/// can hold comes 22 hours later: a key behind that could not be bound, and a page behind such a row would be empty.
const NO_DUE_MICROS: i64 = 253_402_128_000_000_000;

/// Which tasks a page shows. Absent fields do not narrow.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Tasks of this project.
    pub project_id: Option<Uuid>,
    /// Tasks with this status.
    pub status: Option<Status>,
    /// Tasks with this priority.
    pub priority: Option<Priority>,
    /// Tasks of this person.
    pub assignee_id: Option<Uuid>,
    /// Tasks with this label.
    pub label: Option<String>,
    /// Direct subtasks of this task.
    pub parent_id: Option<Uuid>,
    /// Tasks due before this instant.
    pub due_before: Option<Timestamp>,
    /// Tasks due at this instant or after it.
    pub due_after: Option<Timestamp>,
    /// Tasks whose title or description holds all these words. Not empty.
    pub words: Option<Vec<String>>,
}

impl Filter {
    /// The statement's text for a page behind `after`, for whoever wants to explain or to measure it; `None` for a key that no
    /// row can have. On SQLite that is what finds the tasks of somebody with many projects.
    pub fn sql(&self, sqlite: bool, user_id: Uuid, order: Order, after: Option<Key>, limit: usize) -> Option<String> {
        if sqlite {
            return statement::<SeenRow>(sqlite, user_id, self, order, after, limit).map(Statement::into_text);
        }
        statement::<TaskRow>(sqlite, user_id, self, order, after, limit).map(Statement::into_text)
    }

    /// Whether one plan is the best for all values, so that the statement is kept prepared: at most one filter beside the
    /// project. On PostgreSQL one that an index delivers in order, too. For a label, a word or two filters together, the best plan
    /// for a frequent value reads the whole project for a rare one and the other way round; SQLite plans without the values.
    fn has_one_plan(&self, sqlite: bool) -> bool {
        let (ordered, unordered) = self.numbers();
        ordered + unordered <= 1 && (sqlite || unordered == 0)
    }

    /// Whether the statement for such a page is kept prepared. The rest are prepared for one use: nor can anybody fill the
    /// database's memory by combining filters. On SQLite, where each reader has its own and some 20 KB for each, those of long
    /// pages are not kept either.
    fn is_kept(&self, sqlite: bool, limit: usize) -> bool {
        self.has_one_plan(sqlite) && !(sqlite && limit > PAGE_HERE_MAX)
    }

    /// Whether each row that is looked at belongs to the page. The index of subtasks holds those in the trash as well.
    fn is_delivered_by_an_index(&self) -> bool {
        let (ordered, unordered) = self.numbers();
        ordered <= 1 && unordered == 0 && self.parent_id.is_none()
    }

    /// How many filters beside the project there are that an index delivers in order, and how many others.
    fn numbers(&self) -> (usize, usize) {
        let ordered = [
            self.status.is_some(),
            self.priority.is_some(),
            self.assignee_id.is_some(),
            self.parent_id.is_some(),
            self.due_before.is_some() || self.due_after.is_some(),
        ];
        let unordered = [self.label.is_some(), self.words.is_some()];
        let count = |filters: &[bool]| filters.iter().filter(|given| **given).count();
        (count(&ordered), count(&unordered))
    }
}

/// Rows that the statement asks for at once. The number stands in its text: a plan for an unknown limit is a bad one, and SQLite
/// would prepare a text with a placeholder there anew each time. Four numbers keep the number of texts small.
fn fetch(limit: usize) -> usize {
    [21, 51, 101].into_iter().find(|rows| *rows > limit).unwrap_or(201)
}

/// Collects text and binds.
#[derive(Default)]
struct Builder {
    text: String,
    binds: Vec<Bind>,
}

impl Builder {
    fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn bind(&mut self, text: &str, value: impl Into<Bind>) {
        self.text.push_str(text);
        self.binds.push(value.into());
    }
}

/// What a page's statement reads of each task: the columns of `t` and of `x`.
trait Columns: 'static {
    const T: &'static str;
    const X: &'static str;
}

impl Columns for TaskRow {
    const T: &'static str = columns!("t.");
    const X: &'static str = columns!("x.");
}

/// The SQL types of [`super::cache::Seen`].
type SeenRow = (Id, Id, BigInt, Instant);

impl Columns for SeenRow {
    const T: &'static str = "t.id, t.project_id, t.version, t.created_at";
    const X: &'static str = "x.id, x.project_id, x.version, x.created_at";
}

/// The statement for a page of up to `limit` tasks and one more, which tells whether another page follows.
fn statement<Row: Columns>(
    sqlite: bool,
    user_id: Uuid,
    filter: &Filter,
    order: Order,
    after: Option<Key>,
    limit: usize,
) -> Option<Statement<Row>> {
    if sqlite && let Some(project_id) = filter.project_id {
        return merged(user_id, &[project_id], filter, order, after, limit);
    }
    let rows = fetch(limit);
    let mut sql = Builder::default();
    sql.push("SELECT ");
    sql.push(Row::T);
    sql.push(" FROM project_members m ");
    if sqlite {
        sql.push("JOIN tasks t ON t.number IN (SELECT x.number FROM tasks x WHERE ");
    } else {
        sql.push("CROSS JOIN LATERAL (SELECT ");
        sql.push(Row::X);
        sql.push(", x.due_key FROM tasks x WHERE ");
    }
    // The column makes the membership come first: who has none reads nothing. The value tells the planner how large this
    // project is.
    sql.push("x.project_id = m.project_id AND x.deleted_at IS NULL");
    if let Some(project_id) = filter.project_id {
        sql.bind(" AND x.project_id = ?", project_id);
    }
    within(&mut sql, sqlite, (user_id, filter.project_id), filter, order, after)?;
    sql.push(&format!(" ORDER BY {} LIMIT {rows}", ordering(order, filter, "x.")));
    sql.push(if sqlite { ") " } else { ") t " });
    sql.bind("WHERE m.user_id = ?", user_id);
    if let Some(project_id) = filter.project_id {
        sql.bind(" AND m.project_id = ?", project_id);
    }
    sql.push(&format!(" ORDER BY {} LIMIT {rows}", ordering(order, filter, "t.")));
    let statement = Statement::new(sql.text, sql.binds);
    Some(if filter.is_kept(sqlite, limit) { statement } else { statement.uncached() })
}

/// The same for SQLite, over projects that are known: it walks their indexes side by side and stops when the page is full. In
/// [`statement`] it would take a page from each and sort whole rows, which is a quarter of a list's cost.
fn merged<Row: Columns>(
    user_id: Uuid,
    projects: &[Uuid],
    filter: &Filter,
    order: Order,
    after: Option<Key>,
    limit: usize,
) -> Option<Statement<Row>> {
    let mut sql = Builder::default();
    for (at, project_id) in projects.iter().enumerate() {
        sql.push(if at == 0 { "SELECT " } else { " UNION ALL SELECT " });
        sql.push(Row::X);
        // What several are ordered by has to be a column of theirs.
        for column in order.sort.columns(filter).iter().filter(|column| !["id", "created_at"].contains(*column)) {
            sql.push(", x.");
            sql.push(column);
        }
        sql.bind(" FROM tasks x WHERE x.deleted_at IS NULL AND x.project_id = ?", *project_id);
        sql.bind(" AND EXISTS (SELECT 1 FROM project_members m WHERE m.user_id = ?", user_id);
        sql.bind(" AND m.project_id = ?)", *project_id);
        within(&mut sql, true, (user_id, Some(*project_id)), filter, order, after)?;
    }
    sql.push(&format!(" ORDER BY {} LIMIT {}", ordering(order, filter, ""), fetch(limit)));
    let statement = Statement::new(sql.text, sql.binds);
    Some(if filter.is_kept(true, limit) { statement } else { statement.uncached() })
}

/// Which of a project's tasks, in the order of an index. `None` for a key that no row can have.
fn within(
    sql: &mut Builder,
    sqlite: bool,
    whose: (Uuid, Option<Uuid>),
    filter: &Filter,
    order: Order,
    after: Option<Key>,
) -> Option<()> {
    // Behind a cursor the page begins at its key. A bound of the filter on the same side says less, and SQLite would begin there.
    let begun = after.filter(|_| order.sort == Sort::DueAt).map(|_| order.direction);
    conditions(sql, sqlite, whose, filter, begun);
    if let Some(key) = after {
        let comparison = match order.direction {
            Direction::Ascending => ">",
            Direction::Descending => "<",
        };
        let columns: Vec<String> = order.sort.columns(filter).iter().map(|column| format!("x.{column}")).collect();
        let marks = vec!["?"; columns.len()].join(", ");
        sql.push(&format!(" AND ({}) {comparison} ({marks})", columns.join(", ")));
        sql.binds.extend(key.binds(order.sort, filter)?);
    }
    Some(())
}

/// What the full-text index of SQLite has to match: words, within the projects of a user. `0` is no project's key: without any,
/// nothing to match would be a mistake of syntax.
const MATCHING: &str = "SELECT 'project_key:(' || coalesce(group_concat(lower(hex(project_id)), ' OR '), '0') \
    || ') AND {title description}:(' || ? || ')' FROM project_members WHERE user_id = ?";

fn conditions(
    sql: &mut Builder,
    sqlite: bool,
    (user_id, project_id): (Uuid, Option<Uuid>),
    filter: &Filter,
    begun: Option<Direction>,
) {
    if let Some(status) = filter.status {
        sql.bind(" AND x.status = ?", status.as_str());
    }
    if let Some(priority) = filter.priority {
        sql.bind(" AND x.priority = ?", priority.rank());
    }
    if let Some(assignee_id) = filter.assignee_id {
        sql.bind(" AND x.assignee_id = ?", assignee_id);
    }
    if let Some(label) = &filter.label {
        if sqlite {
            // A text that has the label anywhere is looked for first: reading JSON costs ten times as much.
            sql.bind(" AND instr(x.labels, ?) > 0", serde_json::to_string(label).unwrap_or_default());
            sql.bind(" AND EXISTS (SELECT 1 FROM json_each(x.labels) l WHERE l.value = ?)", label.clone());
        } else {
            sql.bind(" AND x.labels @> ?", Labels(vec![label.clone()]));
        }
    }
    if let Some(parent_id) = filter.parent_id {
        sql.bind(" AND x.parent_id = ?", parent_id);
    }
    if let Some(due_after) = filter.due_after
        && begun != Some(Direction::Ascending)
    {
        sql.bind(" AND x.due_key >= ?", due_after);
    }
    // The key of a task without a due date lies after every date. As a bound of the index it costs nothing; a condition on
    // `due_at` would be checked on each of them.
    let never = filter.due_after.and(Timestamp::from_microsecond(NO_DUE_MICROS).ok());
    if let Some(due_before) = filter.due_before.or(never)
        && begun != Some(Direction::Descending)
    {
        sql.bind(" AND x.due_key < ?", due_before);
    }
    if let Some(words) = &filter.words {
        if sqlite {
            // Within the caller's projects, or the one that is given: a subquery that named its row's project would be run for
            // each row.
            let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
            sql.push(" AND x.number IN (SELECT rowid FROM tasks_text WHERE tasks_text MATCH (");
            sql.bind(MATCHING, quoted.join(" "));
            sql.binds.push(user_id.into());
            if let Some(project_id) = project_id {
                sql.bind(" AND project_id = ?", project_id);
            }
            sql.push("))");
        } else {
            sql.bind(" AND x.search @@ plainto_tsquery('simple', ?)", words.join(" "));
        }
    }
}

fn ordering(order: Order, filter: &Filter, prefix: &str) -> String {
    let way = match order.direction {
        Direction::Ascending => "",
        Direction::Descending => " DESC",
    };
    let columns: Vec<String> =
        order.sort.columns(filter).iter().map(|column| format!("{prefix}{column}{way}")).collect();
    columns.join(", ")
}

impl Db {
    /// Up to `limit` tasks that `user_id` may see, behind `after`, and whether more follow.
    pub async fn list_tasks(
        &self,
        user_id: Uuid,
        filter: &Filter,
        order: Order,
        after: Option<Key>,
        limit: usize,
    ) -> Result<(Listed, bool), StoreError> {
        let impossible = || StoreError::Internal("a cursor of ours holds a key that no row can have".into());
        if let Backend::Postgres(connections) = &self.backend {
            let page = statement(false, user_id, filter, order, after, limit).ok_or_else(impossible)?;
            let (tasks, more) = self.postgres_list(connections, page, limit).await?;
            return Ok((Listed::Written(tasks), more));
        }
        let mut tasks = self.sqlite_list(user_id, filter, order, after, limit).await?.ok_or_else(impossible)?;
        let more = tasks.len() > limit;
        tasks.truncate(limit);
        Ok((Listed::Cached(tasks), more))
    }
}

#[cfg(test)]
mod tests;
