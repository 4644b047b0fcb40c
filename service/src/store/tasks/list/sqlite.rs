//! How SQLite serves a list: over a few projects they are merged, and what is short is read where it is asked for.

use std::borrow::Cow;
use std::iter::repeat;
use std::sync::Arc;

use diesel::{Connection as _, SqliteConnection};
use uuid::Uuid;

use super::super::cache::{CachedTask, Look, Seen, TaskCache};
use super::super::{TaskRow, columns};
use super::{Filter, Key, Order, SeenRow, common, merged, statement};
use crate::store::statement::{Statement, binds};
use crate::store::types::Id;
use crate::store::{Backend, Db, Operation, StoreError};
use crate::tasks::model::Task;

/// The largest page of SQLite that is read where it is asked for: the default one.
pub(super) const PAGE_HERE_MAX: usize = 50;

/// Projects that a statement merges. Three numbers, of which the smallest that holds a user's projects is taken, keep the
/// number of texts small.
pub(super) const PLACES: [usize; 3] = [1, 2, PLACES_MAX];
const PLACES_MAX: usize = 4;

/// The projects of a user for [`merged`], if they are few enough. Places that are left have an id that no project has.
fn few_projects(user_id: Uuid, connection: &mut SqliteConnection) -> diesel::QueryResult<Option<Vec<Uuid>>> {
    // The limit is in the text: SQLite prepares a statement anew each time that one is bound.
    const { assert!(PLACES_MAX == 4) };
    let text = "SELECT project_id FROM project_members WHERE user_id = $1 LIMIT 5";
    let projects = Statement::<(Id,)>::numbered(text, binds![user_id]);
    let rows: Vec<(Uuid,)> = diesel::RunQueryDsl::load(projects, connection)?;
    let places = PLACES.into_iter().find(|places| rows.len() <= *places);
    Ok(places.map(|places| rows.into_iter().map(|(id,)| id).chain(repeat(Uuid::nil())).take(places).collect()))
}

/// A task by its id. Whether it may be seen was asked before.
const ROW: &str = concat!("SELECT ", columns!("t."), " FROM tasks t WHERE t.id = $1");

/// Whose list it is, of what, and where it begins.
#[derive(Debug, Clone)]
struct Asked<'a> {
    user_id: Uuid,
    filter: Cow<'a, Filter>,
    order: Order,
    after: Option<Key>,
    limit: usize,
}

impl Asked<'_> {
    /// The tasks, which only a key that no row can have keeps from being found: `None` then.
    fn cached(
        &self,
        connection: &mut SqliteConnection,
        projects: Option<&[Uuid]>,
        (cache, look): (&TaskCache, Look),
    ) -> diesel::QueryResult<Option<Vec<CachedTask>>> {
        let Asked { user_id, ref filter, order, after, limit } = *self;
        let found = match projects {
            Some(projects) => merged::<SeenRow>(user_id, projects, filter, order, after, limit),
            None => statement(true, user_id, filter, order, after, limit),
        };
        let Some(found) = found else { return Ok(None) };
        let found: Vec<Seen> = diesel::RunQueryDsl::load(found, connection)?;
        let read = |id: Uuid| {
            let rows: Vec<Task> =
                diesel::RunQueryDsl::load(Statement::<TaskRow>::numbered(ROW, binds![id]), connection)?;
            Ok(rows.into_iter().next())
        };
        cache.tasks(look, found, read).map(Some)
    }
}

impl Db {
    /// The rows of a page from SQLite; `None` for a key that no row can have. What is read, is read in one state of the data.
    pub(super) async fn sqlite_list(
        &self,
        user_id: Uuid,
        filter: &Filter,
        order: Order,
        after: Option<Key>,
        limit: usize,
    ) -> Result<Option<Vec<CachedTask>>, StoreError> {
        let Backend::Sqlite { tasks: cache, .. } = &self.backend else {
            return Err(StoreError::Internal("a list for SQLite on PostgreSQL".into()));
        };
        let asked = Asked { user_id, filter: Cow::Borrowed(filter), order, after, limit };
        let owned = Asked { user_id, filter: Cow::Owned(filter.clone()), order, after, limit };
        let (cache, kept, look) = (&**cache, Arc::clone(cache), cache.look());
        let elsewhere = move |connection: &mut SqliteConnection| {
            connection.transaction(|connection| {
                let merges = owned.filter.project_id.is_none() && owned.filter.has_one_plan(true);
                let projects = if merges { few_projects(user_id, connection)? } else { None };
                owned.cached(connection, projects.as_deref(), (&kept, look))
            })
        };
        let is_search = filter.words.is_some() && filter.numbers() == (0, 1);
        if limit > PAGE_HERE_MAX || !(is_search || filter.is_delivered_by_an_index()) {
            return self.sqlite_read(Operation::TaskList, elsewhere).await;
        }
        let here = |connection: &mut SqliteConnection| {
            let projects = match filter.project_id {
                Some(project_id) => Some(vec![project_id]),
                None => few_projects(user_id, connection)?,
            };
            let Some(projects) = projects else { return Ok(None) };
            let Some(words) = &filter.words else {
                return asked.cached(connection, Some(&projects), (cache, look)).map(Some);
            };
            let all = Filter { project_id: filter.project_id, ..Filter::default() };
            let rows = |connection: &mut SqliteConnection, after, rows: usize| {
                let page = Asked { user_id, filter: Cow::Borrowed(&all), order, after, limit: rows.saturating_sub(1) };
                page.cached(connection, Some(&projects), (cache, look))
            };
            Ok(common::look_through(connection, words, limit + 1, order, after, rows)?.map(Some))
        };
        let here = |connection: &mut SqliteConnection| connection.transaction(|connection| here(connection));
        self.sqlite_read_here(Operation::TaskList, here, elsewhere).await
    }
}
