//! A SQL statement with typed binds and a typed row, the one form in which SQL leaves this crate.
//!
//! Diesel's query builder has neither row comparison, nor lateral joins, nor a CTE that writes, and its `sql_query` is
//! prepared anew on each call. A [`Statement`] is prepared once per connection and cached by its text, its binds carry their
//! types, and one text serves both backends: `?` marks a bind on either, and so do `$1`, `$2`.

use std::any::TypeId;
use std::borrow::Cow;
use std::marker::PhantomData;

use diesel::backend::{Backend, DieselReserveSpecialization};
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::serialize::ToSql;
use diesel::sql_types::{BigInt, Bool, HasSqlType, Integer, Nullable, SmallInt, Text};
use diesel::sqlite::Sqlite;
use jiff::Timestamp;
use uuid::Uuid;

use super::arrays::{IdArray, Ids, InstantArray, Instants, SmallArray, Smalls, TextArray, Texts};
use super::types::{Id, Instant, Json, JsonText, LabelArray, Labels, VersionArray, Versions};

/// A value with its SQL type. `None` is a typed NULL.
#[derive(Debug, Clone)]
pub(crate) enum Bind {
    Id(Option<Uuid>),
    Text(Option<String>),
    Static(&'static str),
    Bool(bool),
    Small(Option<i16>),
    Int(i32),
    Big(Option<i64>),
    Instant(Option<Timestamp>),
    Json(JsonText),
    Labels(Option<Labels>),
    Versions(Option<Versions>),
    Ids(Ids),
    Texts(Texts),
    Smalls(Smalls),
    Instants(Instants),
}

macro_rules! bind_from {
    ($($rust:ty => |$value:ident| $bind:expr),+ $(,)?) => {$(
        impl From<$rust> for Bind {
            fn from($value: $rust) -> Self {
                $bind
            }
        }
    )+};
}

bind_from! {
    Uuid => |v| Bind::Id(Some(v)),
    Option<Uuid> => |v| Bind::Id(v),
    String => |v| Bind::Text(Some(v)),
    Option<String> => |v| Bind::Text(v),
    &'static str => |v| Bind::Static(v),
    bool => |v| Bind::Bool(v),
    i16 => |v| Bind::Small(Some(v)),
    Option<i16> => |v| Bind::Small(v),
    i32 => |v| Bind::Int(v),
    i64 => |v| Bind::Big(Some(v)),
    Option<i64> => |v| Bind::Big(v),
    Timestamp => |v| Bind::Instant(Some(v)),
    Option<Timestamp> => |v| Bind::Instant(v),
    JsonText => |v| Bind::Json(v),
    Labels => |v| Bind::Labels(Some(v)),
    Option<Labels> => |v| Bind::Labels(v),
    Option<Vec<i64>> => |v| Bind::Versions(v.map(Versions)),
    Vec<Option<Uuid>> => |v| Bind::Ids(Ids(v)),
    Vec<Option<String>> => |v| Bind::Texts(Texts(v)),
    Vec<i16> => |v| Bind::Smalls(Smalls(v)),
    Vec<Option<Timestamp>> => |v| Bind::Instants(Instants(v)),
}

/// How the text names its binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Placeholders {
    /// `?`, in order: both backends.
    Portable,
    /// `$1`, `$2`, …, each any number of times, and on SQLite each the first time in order.
    Numbered,
}

/// One statement. `Row` is the tuple of SQL types that a row of its result has; `()` for none.
#[derive(Debug, Clone)]
pub(crate) struct Statement<Row> {
    text: Cow<'static, str>,
    binds: Vec<Bind>,
    placeholders: Placeholders,
    cached: bool,
    row: PhantomData<fn() -> Row>,
}

impl<Row> Statement<Row> {
    /// A statement for both backends; each `?` in the text takes the next bind.
    pub(crate) fn new(text: impl Into<Cow<'static, str>>, binds: Vec<Bind>) -> Self {
        let text = text.into();
        debug_assert_eq!(text.matches('?').count(), binds.len(), "{text}");
        Statement { text, binds, placeholders: Placeholders::Portable, cached: true, row: PhantomData }
    }

    /// A statement in which `$n` is the n-th bind: for PostgreSQL, and for SQLite where the binds come in order. PostgreSQL gets
    /// its text as it stands, where the other kind is put together each time.
    pub(crate) fn numbered(text: impl Into<Cow<'static, str>>, binds: Vec<Bind>) -> Self {
        Statement { text: text.into(), binds, placeholders: Placeholders::Numbered, cached: true, row: PhantomData }
    }

    /// The text, without its binds.
    pub(crate) fn into_text(self) -> String {
        self.text.into_owned()
    }

    /// Prepares it for one use. For texts of which there are too many to keep each prepared on each connection.
    pub(crate) fn uncached(mut self) -> Self {
        self.cached = false;
        self
    }
}

#[cfg(test)]
impl<Row> Statement<Row> {
    /// Asks SQLite how it would run this: rows of node, parent, unused, text.
    pub(crate) fn explained(self) -> Statement<(Integer, Integer, Integer, Text)> {
        let text = format!("EXPLAIN QUERY PLAN {}", self.text);
        Statement {
            text: text.into(),
            binds: self.binds,
            placeholders: self.placeholders,
            cached: true,
            row: PhantomData,
        }
    }
}

/// The binds of a statement: `binds![user_id, "done", now]`.
macro_rules! binds {
    ($($value:expr),* $(,)?) => { vec![$($crate::store::statement::Bind::from($value)),*] };
}
pub(crate) use binds;

impl<Row> Query for Statement<Row> {
    type SqlType = Row;
}

impl<Row> QueryId for Statement<Row> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false; // cached by its text
}

impl<Row, Connection> diesel::RunQueryDsl<Connection> for Statement<Row> {}

impl<Row, DB> QueryFragment<DB> for Statement<Row>
where
    DB: Backend + DieselReserveSpecialization + 'static,
    DB: HasSqlType<Id> + HasSqlType<Text> + HasSqlType<Bool> + HasSqlType<SmallInt> + HasSqlType<Integer>,
    DB: HasSqlType<BigInt> + HasSqlType<Instant> + HasSqlType<Json> + HasSqlType<LabelArray> + HasSqlType<VersionArray>,
    DB: HasSqlType<IdArray> + HasSqlType<TextArray> + HasSqlType<SmallArray> + HasSqlType<InstantArray>,
    Option<Uuid>: ToSql<Nullable<Id>, DB>,
    Option<String>: ToSql<Nullable<Text>, DB>,
    str: ToSql<Text, DB>,
    bool: ToSql<Bool, DB>,
    Option<i16>: ToSql<Nullable<SmallInt>, DB>,
    i32: ToSql<Integer, DB>,
    Option<i64>: ToSql<Nullable<BigInt>, DB>,
    Option<Timestamp>: ToSql<Nullable<Instant>, DB>,
    JsonText: ToSql<Json, DB>,
    Option<Labels>: ToSql<Nullable<LabelArray>, DB>,
    Option<Versions>: ToSql<Nullable<VersionArray>, DB>,
    Ids: ToSql<IdArray, DB>,
    Texts: ToSql<TextArray, DB>,
    Smalls: ToSql<SmallArray, DB>,
    Instants: ToSql<InstantArray, DB>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        if !self.cached {
            out.unsafe_to_cache_prepared();
        }
        match self.placeholders {
            // SQLite takes each `?` as it stands: nothing has to be put together.
            Placeholders::Portable if TypeId::of::<DB>() != TypeId::of::<Sqlite>() => {
                let mut binds = self.binds.iter();
                let mut pieces = self.text.split('?');
                out.push_sql(pieces.next().unwrap_or_default());
                for piece in pieces {
                    let bind = binds.next().ok_or(diesel::result::Error::QueryBuilderError(
                        "a statement has more placeholders than binds".into(),
                    ))?;
                    push(bind, &mut out, true)?;
                    out.push_sql(piece);
                }
            }
            _ => {
                out.push_sql(&self.text);
                for bind in &self.binds {
                    push(bind, &mut out, false)?;
                }
            }
        }
        Ok(())
    }
}

/// Adds one bind, with its placeholder when the text does not hold it already.
fn push<'b, DB>(bind: &'b Bind, out: &mut AstPass<'_, 'b, DB>, placeholder: bool) -> QueryResult<()>
where
    DB: Backend,
    DB: HasSqlType<Id> + HasSqlType<Text> + HasSqlType<Bool> + HasSqlType<SmallInt> + HasSqlType<Integer>,
    DB: HasSqlType<BigInt> + HasSqlType<Instant> + HasSqlType<Json> + HasSqlType<LabelArray> + HasSqlType<VersionArray>,
    DB: HasSqlType<IdArray> + HasSqlType<TextArray> + HasSqlType<SmallArray> + HasSqlType<InstantArray>,
    Option<Uuid>: ToSql<Nullable<Id>, DB>,
    Option<String>: ToSql<Nullable<Text>, DB>,
    str: ToSql<Text, DB>,
    bool: ToSql<Bool, DB>,
    Option<i16>: ToSql<Nullable<SmallInt>, DB>,
    i32: ToSql<Integer, DB>,
    Option<i64>: ToSql<Nullable<BigInt>, DB>,
    Option<Timestamp>: ToSql<Nullable<Instant>, DB>,
    JsonText: ToSql<Json, DB>,
    Option<Labels>: ToSql<Nullable<LabelArray>, DB>,
    Option<Versions>: ToSql<Nullable<VersionArray>, DB>,
    Ids: ToSql<IdArray, DB>,
    Texts: ToSql<TextArray, DB>,
    Smalls: ToSql<SmallArray, DB>,
    Instants: ToSql<InstantArray, DB>,
{
    macro_rules! add {
        ($sql:ty, $value:expr) => {
            if placeholder {
                out.push_bind_param::<$sql, _>($value)
            } else {
                out.push_bind_param_value_only::<$sql, _>($value)
            }
        };
    }
    match bind {
        Bind::Id(value) => add!(Nullable<Id>, value),
        Bind::Text(value) => add!(Nullable<Text>, value),
        Bind::Static(value) => add!(Text, *value),
        Bind::Bool(value) => add!(Bool, value),
        Bind::Small(value) => add!(Nullable<SmallInt>, value),
        Bind::Int(value) => add!(Integer, value),
        Bind::Big(value) => add!(Nullable<BigInt>, value),
        Bind::Instant(value) => add!(Nullable<Instant>, value),
        Bind::Json(value) => add!(Json, value),
        Bind::Labels(value) => add!(Nullable<LabelArray>, value),
        Bind::Versions(value) => add!(Nullable<VersionArray>, value),
        Bind::Ids(value) => add!(IdArray, value),
        Bind::Texts(value) => add!(TextArray, value),
        Bind::Smalls(value) => add!(SmallArray, value),
        Bind::Instants(value) => add!(InstantArray, value),
    }
}
