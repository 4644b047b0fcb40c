//! A search for common words on SQLite: the page is full after a few rows in its order, and nothing else is looked at.
//!
//! The full-text index would say first which tasks have the words, all of them, and that takes longer the more there are. So the
//! first rows of the list are looked through, and the index is asked only if less than half of them have the words.
//!
//! Both have to say the same. The index's tokenizer (`unicode61`) takes runs of letters and digits as words, without their case;
//! what that means beyond ASCII is left to it, and so are words longer than it keeps.

use diesel::SqliteConnection;

use super::{Key, Order};
use crate::tasks::model::Task;

/// Rows that are looked at before it is known whether the words are common, and at once after that.
const SAMPLE: usize = 21;
const ROWS_MAX: usize = 51;

/// Text up to this has no word that the index would cut.
const TEXT_BYTES_MAX: usize = 32 * 1024;

/// The first `wanted` tasks behind `after` that have all `words`, or all there are. `None` where that is for the index to say. `read`
/// gives so many rows of the list behind a key; in all, there are four times as many as are wanted at most.
pub(super) fn look_through(
    connection: &mut SqliteConnection,
    words: &[String],
    wanted: usize,
    order: Order,
    mut after: Option<Key>,
    read: impl Fn(&mut SqliteConnection, Option<Key>, usize) -> diesel::QueryResult<Option<Vec<Task>>>,
) -> diesel::QueryResult<Option<Vec<Task>>> {
    if !words.iter().all(|word| word.bytes().all(|byte| byte.is_ascii_alphanumeric())) {
        return Ok(None);
    }
    let (mut found, mut seen, mut rows) = (Vec::with_capacity(wanted), 0, SAMPLE);
    loop {
        let Some(tasks) = read(connection, after, rows)? else { return Ok(None) };
        let is_last = tasks.len() < rows;
        seen += tasks.len();
        for task in tasks {
            after = Some(Key::of(&task, order.sort));
            match has_all([&task.title, task.description.as_deref().unwrap_or_default()], words) {
                Some(true) => found.push(task),
                Some(false) => {}
                None => return Ok(None),
            }
        }
        if is_last || found.len() >= wanted {
            found.truncate(wanted);
            return Ok(Some(found));
        }
        if found.len() * 2 < seen {
            return Ok(None);
        }
        // As many as will do if they are like those before.
        rows = if (wanted - found.len()) * seen / found.len() < SAMPLE { SAMPLE } else { ROWS_MAX };
    }
}

/// Whether the index would find all `words` in a task's texts; `None` if this cannot be told here.
fn has_all(texts: [&str; 2], words: &[String]) -> Option<bool> {
    let plain = texts.iter().all(|text| text.is_ascii() && text.len() <= TEXT_BYTES_MAX);
    plain.then(|| words.iter().all(|word| texts.iter().any(|text| has(text, word))))
}

fn has(text: &str, word: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric()).any(|other| other.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use diesel::connection::SimpleConnection as _;
    use diesel::{Connection as _, RunQueryDsl as _, sql_query, sql_types};
    use proptest::prelude::*;

    use super::*;

    #[derive(diesel::QueryableByName)]
    struct Match {
        #[diesel(sql_type = sql_types::BigInt)]
        rowid: i64,
    }

    /// An index like that of the tasks, of these texts.
    fn index(texts: &[(String, String)]) -> SqliteConnection {
        let mut connection = SqliteConnection::establish(":memory:").unwrap();
        let made = include_str!("../../../../../migrations/sqlite/2026-11-20-000001_search_within_projects/up.sql");
        let tokenizer = made.split("tokenize = ").nth(1).and_then(|rest| rest.lines().next()).unwrap();
        let table = format!("CREATE VIRTUAL TABLE texts USING fts5 (title, description, tokenize = {tokenizer})");
        connection.batch_execute(&table).unwrap();
        for (title, description) in texts {
            let insert = sql_query("INSERT INTO texts (title, description) VALUES (?, ?)");
            insert
                .bind::<sql_types::Text, _>(title)
                .bind::<sql_types::Text, _>(description)
                .execute(&mut connection)
                .unwrap();
        }
        connection
    }

    proptest! {
        #[test]
        fn a_text_that_is_looked_through_has_the_words_that_the_index_finds(
            texts in prop::collection::vec(("[aB1_ .'\\x00-\\x7f]{0,9}", "([a-b0-1]{1,3}[ _.,'\"/-]?){0,6}é?"), 1..24),
            words in prop::collection::vec("[ab01]{1,2}", 1..3),
        ) {
            let mut connection = index(&texts);
            let query = words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" ");
            let found: Vec<Match> = sql_query("SELECT rowid FROM texts WHERE texts MATCH ?")
                .bind::<sql_types::Text, _>(query)
                .load(&mut connection)
                .unwrap();
            let found: HashSet<i64> = found.into_iter().map(|found| found.rowid).collect();
            for (at, (title, description)) in texts.iter().enumerate() {
                if let Some(has) = has_all([title, description], &words) {
                    prop_assert_eq!(has, found.contains(&(at as i64 + 1)), "{:?} in {:?}", words, (title, description));
                }
            }
        }
    }
}
