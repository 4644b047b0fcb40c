//! A search for common words on SQLite: the page is full after a few rows in its order, and nothing else is looked at.
//!
//! The full-text index would say first which tasks have the words, all of them, and that takes longer the more there are. So the
//! first rows of the list are looked through. The index is asked if less than half of them have the words, or if they are long.
//!
//! Both have to say the same. The index's tokenizer (`unicode61`) takes runs of letters and digits as words, without their case.
//! What that means beyond ASCII is left to it: it is asked as well if a text or a word has anything else.

use diesel::SqliteConnection;

use super::{Key, Order};
use crate::tasks::model::Task;

/// Rows that are looked at before it is known whether the words are common, and at once after that.
const SAMPLE: usize = 21;
const ROWS_MAX: usize = 51;

/// A text up to this has no word that the index would cut.
const TEXT_BYTES_MAX: usize = 32 * 1024;
/// The most text that is looked through, once for each word: some 300 µs.
const BYTES_MAX: usize = 128 * 1024;

/// The first `wanted` tasks behind `after` that have all `words`, or all there are. `None` where that is for the index to say. `read`
/// gives so many rows of the list behind a key; it is asked for [`SAMPLE`] and then for up to twice as many as are wanted.
pub(super) fn look_through<T: AsRef<Task>>(
    connection: &mut SqliteConnection,
    words: &[String],
    wanted: usize,
    order: Order,
    mut after: Option<Key>,
    read: impl Fn(&mut SqliteConnection, Option<Key>, usize) -> diesel::QueryResult<Option<Vec<T>>>,
) -> diesel::QueryResult<Option<Vec<T>>> {
    if !words.iter().all(|word| word.bytes().all(|byte| byte.is_ascii_alphanumeric())) {
        return Ok(None);
    }
    let (mut found, mut seen, mut rows, mut bytes) = (Vec::with_capacity(wanted), 0, SAMPLE, 0);
    loop {
        let Some(tasks) = read(connection, after, rows)? else { return Ok(None) };
        let is_last = tasks.len() < rows;
        seen += tasks.len();
        for listed in tasks {
            let task = listed.as_ref();
            let texts = [task.title.as_str(), task.description.as_deref().unwrap_or_default()];
            bytes += texts.iter().map(|text| text.len()).sum::<usize>() * words.len();
            let plain = texts.iter().all(|text| text.len() <= TEXT_BYTES_MAX && text.is_ascii());
            if bytes > BYTES_MAX || !plain {
                return Ok(None);
            }
            after = Some(Key::of(task, order.sort));
            if has_all(texts, words) {
                found.push(listed);
            }
            if found.len() == wanted {
                return Ok(Some(found));
            }
        }
        if is_last {
            return Ok(Some(found));
        }
        if found.len() * 2 < seen {
            return Ok(None);
        }
        // As many as will do if they are like those before.
        rows = if (wanted - found.len()) * seen / found.len() < SAMPLE { SAMPLE } else { ROWS_MAX };
    }
}

/// Whether the index would find all `words` in a task's texts, which are ASCII.
fn has_all(texts: [&str; 2], words: &[String]) -> bool {
    words.iter().all(|word| texts.iter().any(|text| has(text, word)))
}

/// Compares where words begin, and there with the first letter first: most bytes cost a look.
fn has(text: &str, word: &str) -> bool {
    let (text, word) = (text.as_bytes(), word.as_bytes());
    let Some(first) = word.first().map(u8::to_ascii_lowercase) else { return false };
    let is_edge = |byte: Option<&u8>| byte.is_none_or(|byte| !byte.is_ascii_alphanumeric());
    text.iter().enumerate().any(|(at, byte)| {
        let end = at + word.len();
        byte.to_ascii_lowercase() == first
            && is_edge(at.checked_sub(1).and_then(|before| text.get(before)))
            && is_edge(text.get(end))
            && text.get(at..end).is_some_and(|there| there.eq_ignore_ascii_case(word))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use diesel::connection::SimpleConnection as _;
    use diesel::{Connection as _, RunQueryDsl as _, sql_query, sql_types};
    use jiff::Timestamp;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::super::{Direction, Sort};
    use super::*;
    use crate::store::types::Labels;
    use crate::tasks::model::{Priority, Status};

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

    fn task(number: i64, has: bool) -> Task {
        let at = Timestamp::from_microsecond(1_800_000_000_000_000 - number).unwrap();
        Task {
            id: Uuid::from_u128(number as u128),
            project_id: Uuid::nil(),
            parent_id: None,
            title: if has { "a word" } else { "awkward" }.into(),
            description: None,
            status: Status::Todo,
            priority: Priority::Low,
            labels: Labels::default(),
            assignee_id: None,
            due_at: None,
            completed_at: None,
            created_by: Uuid::nil(),
            created_at: at,
            updated_at: at,
            version: 1,
        }
    }

    #[test]
    fn common_words_are_looked_for_in_some_pages_of_rows_and_rare_ones_in_a_sample() {
        let order = Order { sort: Sort::CreatedAt, direction: Direction::Descending };
        let mut connection = SqliteConnection::establish(":memory:").unwrap();
        for (one_in_three_lacks_it, read_at_most) in [(true, 21 + 51 + 51), (false, 21)] {
            let list: Vec<Task> = (0..1000).map(|at| task(at, (at % 3 == 0) != one_in_three_lacks_it)).collect();
            let asked = std::cell::Cell::new(0);
            let read = |_: &mut SqliteConnection, _, rows: usize| {
                let begin = asked.replace(asked.get() + rows);
                Ok(Some(list[begin..begin + rows].to_vec()))
            };
            let page = look_through(&mut connection, &["word".to_owned()], 51, order, None, read).unwrap();
            assert_eq!(page.is_some(), one_in_three_lacks_it);
            assert!(asked.get() <= read_at_most, "{} rows", asked.get());
        }
    }

    proptest! {
        #[test]
        fn a_page_that_is_found_so_is_the_first_of_the_tasks_that_have_the_word(
            rows in prop::collection::vec(prop::bool::weighted(0.8), 0..150),
            wanted in 2..52_usize,
            begin in 0..4_usize,
        ) {
            let order = Order { sort: Sort::CreatedAt, direction: Direction::Descending };
            let list: Vec<Task> = rows.iter().enumerate().map(|(at, has)| task(at as i64, *has)).collect();
            let after = begin.checked_sub(1).and_then(|at| list.get(at)).map(|task| Key::of(task, order.sort));
            let behind = |after: Option<Key>| {
                let last = |key: Key| list.iter().position(|task| task.id == key.id).map_or(list.len(), |at| at + 1);
                after.map_or(0, last)
            };
            let mut connection = SqliteConnection::establish(":memory:").unwrap();
            let read = |_: &mut SqliteConnection, after, rows| {
                Ok(Some(list[behind(after)..].iter().take(rows).cloned().collect()))
            };
            let words = ["WORD".to_owned()];
            let page = look_through(&mut connection, &words, wanted, order, after, read).unwrap();
            let expected = list[behind(after)..].iter().filter(|task| task.title == "a word").take(wanted).cloned();
            let expected: Vec<Task> = expected.collect();
            let sample = list[behind(after)..].iter().take(SAMPLE);
            let are_common = sample.clone().filter(|task| task.title == "a word").count() * 2 >= SAMPLE;
            if are_common && wanted <= 11 {
                prop_assert!(page.is_some());
            }
            if let Some(page) = page {
                prop_assert_eq!(page, expected);
            }
        }
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
                if title.is_ascii() && description.is_ascii() {
                    let has = has_all([title, description], &words);
                    prop_assert_eq!(has, found.contains(&(at as i64 + 1)), "{:?} in {:?}", words, (title, description));
                }
            }
        }
    }
}
