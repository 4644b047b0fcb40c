//! How ids, instants, JSON and labels are stored: one SQL type each, written and read per backend.
//!
//! | meaning | PostgreSQL | SQLite |
//! | --- | --- | --- |
//! | [`Id`] | `uuid` | 16 bytes |
//! | [`Instant`] | `timestamptz` | microseconds since 1970 UTC |
//! | [`Json`] | `jsonb` | text |
//! | [`LabelArray`] | `text[]` | JSON text |
//!
//! The PostgreSQL object ids are given, which saves Diesel a look-up per connection.

use std::error::Error;
use std::io::Write;

use diesel::backend::Backend;
use diesel::deserialize::{self, FromSql};
use diesel::pg::{Pg, PgValue};
use diesel::query_builder::QueryId;
use diesel::serialize::{self, IsNull, Output, ToSql};
use diesel::sql_types::{Array, BigInt, SqlType, Text};
use diesel::sqlite::Sqlite;
use jiff::Timestamp;
use uuid::Uuid;

/// A UUID.
#[derive(Debug, Clone, Copy, SqlType, QueryId)]
#[diesel(postgres_type(oid = 2950, array_oid = 2951), sqlite_type(name = "Binary"))]
pub(crate) struct Id;

/// A point in time, to the microsecond.
#[derive(Debug, Clone, Copy, SqlType, QueryId)]
#[diesel(postgres_type(oid = 1184, array_oid = 1185), sqlite_type(name = "Long"))]
pub(crate) struct Instant;

/// A JSON document, as its text.
#[derive(Debug, Clone, Copy, SqlType, QueryId)]
#[diesel(postgres_type(oid = 3802, array_oid = 3807), sqlite_type(name = "Text"))]
pub(crate) struct Json;

/// A list of labels.
#[derive(Debug, Clone, Copy, SqlType, QueryId)]
#[diesel(postgres_type(oid = 1009, array_oid = 0), sqlite_type(name = "Text"))]
pub(crate) struct LabelArray;

/// A list of row versions, as `If-Match` names them.
#[derive(Debug, Clone, Copy, SqlType, QueryId)]
#[diesel(postgres_type(oid = 1016, array_oid = 0), sqlite_type(name = "Text"))]
pub(crate) struct VersionArray;

/// The versions of a [`VersionArray`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Versions(pub(crate) Vec<i64>);

/// JSON text on its way to or from a [`Json`] column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JsonText(pub(crate) String);

/// The labels of a task, in the order given.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Labels(pub Vec<String>);

/// Microseconds from 1970 (Unix, SQLite) to 2000 (PostgreSQL).
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;

impl ToSql<Id, Pg> for Uuid {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        out.write_all(self.as_bytes())?;
        Ok(IsNull::No)
    }
}

impl FromSql<Id, Pg> for Uuid {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        Ok(Uuid::from_slice(value.as_bytes())?)
    }
}

impl ToSql<Id, Sqlite> for Uuid {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(self.as_bytes().as_slice());
        Ok(IsNull::No)
    }
}

impl FromSql<Id, Sqlite> for Uuid {
    fn from_sql(mut value: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        Ok(Uuid::from_slice(value.read_blob())?)
    }
}

impl ToSql<Instant, Pg> for Timestamp {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        out.write_all(&(self.as_microsecond() - POSTGRES_EPOCH_MICROS).to_be_bytes())?;
        Ok(IsNull::No)
    }
}

impl FromSql<Instant, Pg> for Timestamp {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        let micros = i64::from_be_bytes(value.as_bytes().try_into()?);
        let micros = micros.checked_add(POSTGRES_EPOCH_MICROS).ok_or("a time out of range")?;
        Ok(Timestamp::from_microsecond(micros)?)
    }
}

impl ToSql<Instant, Sqlite> for Timestamp {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(self.as_microsecond());
        Ok(IsNull::No)
    }
}

impl FromSql<Instant, Sqlite> for Timestamp {
    fn from_sql(mut value: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        Ok(Timestamp::from_microsecond(value.read_long())?)
    }
}

impl ToSql<Json, Pg> for JsonText {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        out.write_all(&[1])?; // the version of jsonb's wire form
        out.write_all(self.0.as_bytes())?;
        Ok(IsNull::No)
    }
}

impl FromSql<Json, Pg> for JsonText {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        match value.as_bytes() {
            [1, text @ ..] => Ok(JsonText(String::from_utf8(text.to_vec())?)),
            _ => Err("an unknown form of jsonb".into()),
        }
    }
}

impl ToSql<Json, Sqlite> for JsonText {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(self.0.as_str());
        Ok(IsNull::No)
    }
}

impl FromSql<Json, Sqlite> for JsonText {
    fn from_sql(value: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        Ok(JsonText(<String as FromSql<Text, Sqlite>>::from_sql(value)?))
    }
}

impl ToSql<LabelArray, Pg> for Labels {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        <Vec<String> as ToSql<Array<Text>, Pg>>::to_sql(&self.0, out)
    }
}

impl FromSql<LabelArray, Pg> for Labels {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        Ok(Labels(<Vec<String> as FromSql<Array<Text>, Pg>>::from_sql(value)?))
    }
}

impl ToSql<LabelArray, Sqlite> for Labels {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(serde_json::to_string(&self.0)?);
        Ok(IsNull::No)
    }
}

impl FromSql<LabelArray, Sqlite> for Labels {
    fn from_sql(mut value: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        let text = value.read_text();
        Ok(plain_labels(text).map_or_else(|| serde_json::from_str(text), Ok)?)
    }
}

/// The labels of a list as `serde_json` writes it, if none of them has an escape: a fifth of what parsing costs.
fn plain_labels(text: &str) -> Option<Labels> {
    let mut rest = text.strip_prefix('[')?.strip_suffix(']')?;
    let (mut quotes, mut has_escape) = (0, false);
    for byte in rest.bytes() {
        quotes += usize::from(byte == b'"');
        has_escape |= byte == b'\\' || byte < b' ';
    }
    if has_escape {
        return None;
    }
    let mut labels = Vec::with_capacity(quotes / 2);
    while !rest.is_empty() {
        rest = if labels.is_empty() { rest } else { rest.strip_prefix(',')? };
        let label = rest.strip_prefix('"')?;
        let end = label.bytes().position(|byte| byte == b'"')?;
        labels.push(label[..end].to_owned());
        rest = &label[end + 1..];
    }
    Some(Labels(labels))
}

impl ToSql<VersionArray, Pg> for Versions {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        <Vec<i64> as ToSql<Array<BigInt>, Pg>>::to_sql(&self.0, out)
    }
}

impl ToSql<VersionArray, Sqlite> for Versions {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(serde_json::to_string(&self.0)?);
        Ok(IsNull::No)
    }
}

/// Makes a Rust type readable from a column of one of the SQL types above.
macro_rules! queryable {
    ($($rust:ty => $sql:ty),+ $(,)?) => {$(
        impl<DB: diesel::backend::Backend> diesel::deserialize::Queryable<$sql, DB> for $rust
        where
            $rust: diesel::deserialize::FromSql<$sql, DB>,
        {
            type Row = Self;

            fn build(row: Self) -> diesel::deserialize::Result<Self> {
                Ok(row)
            }
        }
    )+};
}
pub(crate) use queryable;

queryable!(Uuid => Id, Timestamp => Instant, JsonText => Json, Labels => LabelArray);

/// Stores an enum with `as_str` and `FromStr` as text, read without a copy of it.
macro_rules! text_enum {
    ($($name:ty),+ $(,)?) => {$(
        impl diesel::deserialize::FromSql<diesel::sql_types::Text, diesel::pg::Pg> for $name {
            fn from_sql(value: diesel::pg::PgValue<'_>) -> diesel::deserialize::Result<Self> {
                Ok(std::str::from_utf8(value.as_bytes())?.parse::<$name>()?)
            }
        }
        impl diesel::deserialize::FromSql<diesel::sql_types::Text, diesel::sqlite::Sqlite> for $name {
            fn from_sql(
                mut value: <diesel::sqlite::Sqlite as diesel::backend::Backend>::RawValue<'_>,
            ) -> diesel::deserialize::Result<Self> {
                Ok(value.read_text().parse::<$name>()?)
            }
        }
        crate::store::types::queryable!($name => diesel::sql_types::Text);
    )+};
}
pub(crate) use text_enum;

/// A text in a column that no variant of its enum has: the schema and the code disagree.
#[derive(Debug)]
pub struct UnknownVariant(pub &'static str);

impl std::fmt::Display for UnknownVariant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no such {}", self.0)
    }
}

impl Error for UnknownVariant {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn labels_are_read_as_json_has_them(
            labels in prop::collection::vec(prop_oneof![any::<String>(), "[a-z,\" ]{0,6}"], 0..4),
            text in r#"\[?("[a-c,\\\t]{0,3}"[, ]?){0,3}\]?"#,
        ) {
            let written = serde_json::to_string(&labels)?;
            let has_escape = written.contains('\\');
            prop_assert_eq!(plain_labels(&written), (!has_escape).then_some(Labels(labels)));
            if let Some(read) = plain_labels(&text) {
                prop_assert_eq!(read, serde_json::from_str(&text)?, "{}", text);
            }
        }
    }
}
