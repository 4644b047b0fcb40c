//! How SQLite serves a list: over a few projects they are merged, and what is short is read where it is asked for.

use std::iter::repeat;

use diesel::{Connection as _, SqliteConnection};
use uuid::Uuid;

use super::{Filter, Key, Order, common, merged, statement};
use crate::store::statement::{Statement, binds};
use crate::store::types::Id;
use crate::store::{Db, Operation, StoreError};
use crate::tasks::model::Task;

/// The largest page of SQLite that is read where it is asked for: the default one.
pub(super) const PAGE_HERE_MAX: usize = 50;

/// Projects that a statement merges. Three numbers, of which the smallest that holds a user's projects is taken, keep the
/// number of texts small.
pub(super) const PLACES: [usize; 3] = [1, 2, PLACES_MAX];
const PLACES_MAX: usize = 4;

/// The projects of a user for [`merged`], if they are few enough. Places that are left have an id that no project has.
fn few_projects(user_id: Uuid, connection: &mut SqliteConnection) -> diesel::QueryResult<Option<Vec<Uuid>>> {
    let text = "SELECT project_id FROM project_members WHERE user_id = $1 LIMIT $2";
    let one_too_many = PLACES_MAX as i64 + 1;
    let projects = Statement::<(Id,)>::numbered(text, binds![user_id, one_too_many]);
    let rows: Vec<(Uuid,)> = diesel::RunQueryDsl::load(projects, connection)?;
    let places = PLACES.into_iter().find(|places| rows.len() <= *places);
    Ok(places.map(|places| rows.into_iter().map(|(id,)| id).chain(repeat(Uuid::nil())).take(places).collect()))
}

impl Db {
    /// The rows of a page from SQLite; `None` for a key that no row can have.
    pub(super) async fn sqlite_list(
        &self,
        user_id: Uuid,
        filter: &Filter,
        order: Order,
        after: Option<Key>,
        limit: usize,
    ) -> Result<Option<Vec<Task>>, StoreError> {
        let page = move |projects: Option<Vec<Uuid>>, filter: &Filter, connection: &mut SqliteConnection| {
            let page = match projects {
                Some(projects) => merged(user_id, &projects, filter, order, after, limit),
                None => statement(true, user_id, filter, order, after, limit),
            };
            page.map(|page| diesel::RunQueryDsl::load(page, connection)).transpose()
        };
        let owned = filter.clone();
        let elsewhere = move |connection: &mut SqliteConnection| {
            let merges = owned.project_id.is_none() && owned.has_one_plan(true);
            let projects = if merges { few_projects(user_id, connection)? } else { None };
            page(projects, &owned, connection)
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
            let Some(words) = &filter.words else { return page(Some(projects), filter, connection).map(Some) };
            let all = Filter { project_id: filter.project_id, ..Filter::default() };
            let rows = |connection: &mut SqliteConnection, after, rows: usize| {
                let page = merged(user_id, &projects, &all, order, after, rows.saturating_sub(1));
                page.map(|page| diesel::RunQueryDsl::load(page, connection)).transpose()
            };
            // One state of the data for all that is read.
            let look = |connection: &mut SqliteConnection| {
                common::look_through(connection, words, limit + 1, order, after, rows)
            };
            Ok(connection.transaction(look)?.map(Some))
        };
        self.sqlite_read_here(Operation::TaskList, here, elsewhere).await
    }
}
