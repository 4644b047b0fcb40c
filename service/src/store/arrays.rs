//! Arrays as binds of a statement on PostgreSQL that writes many rows, one array for each column. SQLite has none.

use diesel::pg::Pg;
use diesel::query_builder::QueryId;
use diesel::serialize::{self, Output, ToSql};
use diesel::sql_types::{Array, Nullable, SmallInt, SqlType, Text};
use diesel::sqlite::Sqlite;
use jiff::Timestamp;
use uuid::Uuid;

use super::types::{Id, Instant};

/// `uuid[]`.
#[derive(Debug, Clone, Copy, SqlType, QueryId)]
#[diesel(postgres_type(oid = 2951, array_oid = 0), sqlite_type(name = "Text"))]
pub(crate) struct IdArray;

/// `text[]`.
#[derive(Debug, Clone, Copy, SqlType, QueryId)]
#[diesel(postgres_type(oid = 1009, array_oid = 0), sqlite_type(name = "Text"))]
pub(crate) struct TextArray;

/// `smallint[]`.
#[derive(Debug, Clone, Copy, SqlType, QueryId)]
#[diesel(postgres_type(oid = 1005, array_oid = 0), sqlite_type(name = "Text"))]
pub(crate) struct SmallArray;

/// `timestamptz[]`.
#[derive(Debug, Clone, Copy, SqlType, QueryId)]
#[diesel(postgres_type(oid = 1185, array_oid = 0), sqlite_type(name = "Text"))]
pub(crate) struct InstantArray;

macro_rules! array {
    ($(#[$doc:meta])* $name:ident($element:ty) for $sql:ty as $of:ty) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub(crate) struct $name(pub(crate) Vec<$element>);

        impl ToSql<$sql, Pg> for $name {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
                <Vec<$element> as ToSql<Array<$of>, Pg>>::to_sql(&self.0, out)
            }
        }

        impl ToSql<$sql, Sqlite> for $name {
            fn to_sql<'b>(&'b self, _: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
                Err("SQLite has no arrays".into())
            }
        }
    };
}

array!(
    /// The values of an [`IdArray`].
    Ids(Option<Uuid>) for IdArray as Nullable<Id>
);
array!(
    /// The values of a [`TextArray`].
    Texts(Option<String>) for TextArray as Nullable<Text>
);
array!(
    /// The values of a [`SmallArray`].
    Smalls(i16) for SmallArray as SmallInt
);
array!(
    /// The values of an [`InstantArray`].
    Instants(Option<Timestamp>) for InstantArray as Nullable<Instant>
);
