//! A list on PostgreSQL: each row is written as JSON as it comes, off the bytes that came. Making a task of it, with memory of its own
//! for each text and label, and taking that apart again, was a fifth of a list's instructions.

use std::pin::pin;

use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::pg::Pg;
use diesel::row::{Field as _, Row};
use diesel::sql_types::{BigInt, SmallInt, Text};
use diesel_async::AsyncPgConnection;
use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use uuid::Uuid;

use super::super::TaskRow;
use super::listed::{Place, WrittenTasks};
use crate::store::postgres::Connections;
use crate::store::statement::Statement;
use crate::store::types::{Id, Instant, UnknownVariant};
use crate::store::{Db, Operation, StoreError};
use crate::tasks::json::TaskParts;
use crate::tasks::model::{Priority, Status};

/// Memory that a page begins with, for each task and in all.
const TASK_BYTES: usize = 640;
const PAGE_BYTES_MAX: usize = 32 * 1024;

impl Db {
    /// The first `limit` tasks that the statement finds, and whether there are more.
    pub(super) async fn postgres_list(
        &self,
        connections: &Connections,
        statement: Statement<TaskRow>,
        limit: usize,
    ) -> Result<(WrittenTasks, bool), StoreError> {
        let (mut lease, probe) = self.lease(connections, Operation::TaskList).await?;
        let page = read(&mut lease, statement, limit).await;
        probe.finish(page.map_err(StoreError::from))
    }
}

async fn read(
    connection: &mut AsyncPgConnection,
    statement: Statement<TaskRow>,
    limit: usize,
) -> diesel::QueryResult<(WrittenTasks, bool)> {
    let rows = diesel_async::RunQueryDsl::load_stream::<WrittenTask>(statement, connection).await?;
    let (mut rows, mut number) = (pin!(rows), 0);
    let mut tasks = WrittenTasks::with_capacity((limit * TASK_BYTES).min(PAGE_BYTES_MAX));
    while let Some(WrittenTask { json, place }) = rows.try_next().await? {
        if number < limit {
            tasks.push(&json, place);
        }
        number += 1;
    }
    Ok((tasks, number > limit))
}

/// A row, written.
#[derive(Debug)]
struct WrittenTask {
    json: Vec<u8>,
    place: Place,
}

impl FromSqlRow<TaskRow, Pg> for WrittenTask {
    fn build_from_row<'a>(row: &impl Row<'a, Pg>) -> deserialize::Result<Self> {
        // In the order of `columns`.
        let [title, description, labels] = [3, 4, 7].map(|at| row.get(at));
        let [title, description, labels] = [&title, &description, &labels].map(|field| field.as_ref()?.value());
        let title = title.ok_or("a task without a title")?;
        let labels = labels.ok_or("a task without labels")?;
        let task = TaskParts {
            id: value::<Id, Uuid>(row, 0)?,
            project_id: value::<Id, Uuid>(row, 1)?,
            parent_id: nullable::<Id, Uuid>(row, 2)?,
            title: std::str::from_utf8(title.as_bytes())?,
            description: description.map(|text| std::str::from_utf8(text.as_bytes())).transpose()?,
            status: value::<Text, Status>(row, 5)?,
            priority: Priority::from_rank(value::<SmallInt, i16>(row, 6)?.into()).ok_or(UnknownVariant("priority"))?,
            labels: texts(labels.as_bytes())?,
            assignee_id: nullable::<Id, Uuid>(row, 8)?,
            due_at: nullable::<Instant, Timestamp>(row, 9)?,
            completed_at: nullable::<Instant, Timestamp>(row, 10)?,
            created_by: value::<Id, Uuid>(row, 11)?,
            created_at: value::<Instant, Timestamp>(row, 12)?,
            updated_at: value::<Instant, Timestamp>(row, 13)?,
            version: value::<BigInt, i64>(row, 14)?,
        };
        let TaskParts { id, priority, due_at, created_at, updated_at, .. } = task;
        let place = Place { id, priority, due_at, created_at, updated_at };
        let mut json = Vec::with_capacity(task.bytes_hint());
        task.write(&mut json)?;
        Ok(WrittenTask { json, place })
    }
}

fn value<'a, Type, T: FromSql<Type, Pg>>(row: &impl Row<'a, Pg>, at: usize) -> deserialize::Result<T> {
    T::from_nullable_sql(row.get(at).as_ref().and_then(|field| field.value()))
}

fn nullable<'a, Type, T: FromSql<Type, Pg>>(row: &impl Row<'a, Pg>, at: usize) -> deserialize::Result<Option<T>> {
    let field = row.get(at);
    field.as_ref().and_then(|field| field.value()).map(T::from_sql).transpose()
}

/// The texts of a `text[]` as PostgreSQL sends it: the number of dimensions, whether there are nulls, the elements' type; the length and
/// the first index of each dimension; then each text behind its length. All numbers have four bytes.
fn texts(array: &[u8]) -> deserialize::Result<impl Iterator<Item = deserialize::Result<&str>>> {
    let mut rest = array;
    let (dimensions, _has_nulls, _type) = (number(&mut rest)?, number(&mut rest)?, number(&mut rest)?);
    let length = match dimensions {
        0 => 0,
        1 => {
            let length = number(&mut rest)?;
            number(&mut rest)?;
            length
        }
        _ => return Err("an array of arrays".into()),
    };
    Ok((0..length).map(move |_| {
        let bytes = usize::try_from(number(&mut rest)?).map_err(|_| "a label that is null")?; // -1
        let (text, behind) = rest.split_at_checked(bytes).ok_or("an array that ends too early")?;
        rest = behind;
        Ok(std::str::from_utf8(text)?)
    }))
}

fn number(bytes: &mut &[u8]) -> deserialize::Result<i32> {
    let (number, rest) = bytes.split_first_chunk().ok_or("an array that ends too early")?;
    *bytes = rest;
    Ok(i32::from_be_bytes(*number))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(array: &[u8]) -> Result<Vec<&str>, String> {
        texts(array).and_then(Iterator::collect).map_err(|error| error.to_string())
    }

    /// As PostgreSQL sends it; `None` is a null.
    fn array(dimensions: i32, texts: &[Option<String>]) -> Vec<u8> {
        let length = i32::try_from(texts.len()).unwrap();
        let mut bytes = [dimensions, i32::from(texts.contains(&None)), 25].map(i32::to_be_bytes).concat();
        for _ in 0..dimensions {
            bytes.extend([length, 1].map(i32::to_be_bytes).concat());
        }
        for text in texts {
            let length = text.as_ref().map_or(-1, |text| i32::try_from(text.len()).unwrap());
            bytes.extend(length.to_be_bytes());
            bytes.extend(text.iter().flat_map(|text| text.bytes()));
        }
        bytes
    }

    #[test]
    fn labels_that_no_task_of_ours_has_are_refused() {
        assert_eq!(read(&array(0, &[])), Ok(vec![]));
        let labels = ["a", "b"].map(|label| Some(label.to_owned()));
        assert!(read(&array(2, &labels)).unwrap_err().contains("array of arrays"));
        assert!(read(&array(1, &[labels[0].clone(), None])).unwrap_err().contains("null"));
        let mut latin = array(1, &labels);
        *latin.last_mut().unwrap() = 0xe9;
        assert!(read(&latin).unwrap_err().contains("utf-8"));
    }

    proptest! {
        #[test]
        fn labels_are_read_off_the_bytes_that_came_and_one_byte_less_is_an_error(
            labels in prop::collection::vec(any::<String>(), 1..4),
            less in any::<prop::sample::Index>(),
        ) {
            let bytes = array(1, &labels.iter().cloned().map(Some).collect::<Vec<_>>());
            prop_assert_eq!(read(&bytes).unwrap(), labels);
            prop_assert!(read(&bytes[..less.index(bytes.len())]).is_err());
        }
    }
}
