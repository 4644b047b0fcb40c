//! Tasks as JSON, the bytes that `serde_json` would write, in a third of its instructions: it looks through every key, id and time
//! for what has to be escaped, and none of them can hold any. Half of what a list cost was this.

use std::convert::Infallible;

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use jiff::tz::Offset;
use serde::Serialize;
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use super::list::TaskPage;
use super::model::{Priority, Status, Task};
use crate::http::json::WriteJson;
use crate::store::tasks::{CachedTask, Listed};

/// A task without a description, with some room for one.
const TASK_BYTES: usize = 768;

/// A task whose texts lie elsewhere, in a [`Task`] or in a row as the database sent it.
#[derive(Debug, Clone)]
pub(crate) struct TaskParts<'a, L> {
    pub(crate) id: Uuid,
    pub(crate) project_id: Uuid,
    pub(crate) parent_id: Option<Uuid>,
    pub(crate) title: &'a str,
    pub(crate) description: Option<&'a str>,
    pub(crate) status: Status,
    pub(crate) priority: Priority,
    /// Each label, or why it cannot be read.
    pub(crate) labels: L,
    pub(crate) assignee_id: Option<Uuid>,
    pub(crate) due_at: Option<Timestamp>,
    pub(crate) completed_at: Option<Timestamp>,
    pub(crate) created_by: Uuid,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) version: i64,
}

impl<'a, L: Iterator<Item = Result<&'a str, E>>, E> TaskParts<'a, L> {
    /// About how long its JSON is, in bytes.
    pub(crate) fn bytes_hint(&self) -> usize {
        bytes_hint(self.description)
    }

    /// Appends its JSON. What is written before a label that cannot be read is left there.
    pub(crate) fn write(self, out: &mut Vec<u8>) -> Result<(), E> {
        // Whoever adds a field is told here.
        let TaskParts {
            id,
            project_id,
            parent_id,
            title,
            description,
            status,
            priority,
            labels,
            assignee_id,
            due_at,
            completed_at,
            created_by,
            created_at,
            updated_at,
            version,
        } = self;
        uuid(r#"{"id":"#, Some(id), out);
        uuid(r#","project_id":"#, Some(project_id), out);
        uuid(r#","parent_id":"#, parent_id, out);
        text(r#","title":"#, Some(title), out);
        text(r#","description":"#, description, out);
        word(r#","status":"#, status.as_str(), out);
        word(r#","priority":"#, priority.as_str(), out);
        out.extend_from_slice(br#","labels":["#);
        for (number, label) in labels.enumerate() {
            text(if number == 0 { "" } else { "," }, Some(label?), out);
        }
        out.push(b']');
        uuid(r#","assignee_id":"#, assignee_id, out);
        instant(r#","due_at":"#, due_at, out);
        instant(r#","completed_at":"#, completed_at, out);
        uuid(r#","created_by":"#, Some(created_by), out);
        instant(r#","created_at":"#, Some(created_at), out);
        instant(r#","updated_at":"#, Some(updated_at), out);
        serialized(r#","version":"#, &version, out);
        out.push(b'}');
        Ok(())
    }
}

fn bytes_hint(description: Option<&str>) -> usize {
    TASK_BYTES + description.map_or(0, str::len)
}

impl WriteJson for Task {
    fn bytes_hint(&self) -> usize {
        bytes_hint(self.description.as_deref())
    }

    fn write_json(&self, out: &mut Vec<u8>) {
        let parts = TaskParts {
            id: self.id,
            project_id: self.project_id,
            parent_id: self.parent_id,
            title: &self.title,
            description: self.description.as_deref(),
            status: self.status,
            priority: self.priority,
            labels: self.labels.0.iter().map(|label| Ok::<_, Infallible>(label.as_str())),
            assignee_id: self.assignee_id,
            due_at: self.due_at,
            completed_at: self.completed_at,
            created_by: self.created_by,
            created_at: self.created_at,
            updated_at: self.updated_at,
            version: self.version,
        };
        let Ok(()) = parts.write(out);
    }
}

impl WriteJson for TaskPage {
    fn bytes_hint(&self) -> usize {
        TASK_BYTES
            + match &self.items {
                Listed::Written(tasks) => tasks.json().len(),
                Listed::Cached(tasks) => tasks.iter().map(CachedTask::bytes_hint).sum(),
            }
    }

    fn write_json(&self, out: &mut Vec<u8>) {
        let TaskPage { items, next_cursor } = self;
        out.extend_from_slice(br#"{"items":["#);
        match items {
            Listed::Written(tasks) => out.extend_from_slice(tasks.json()),
            Listed::Cached(tasks) => list(tasks, out),
        }
        out.push(b']');
        text(r#","next_cursor":"#, next_cursor.as_deref(), out);
        out.push(b'}');
    }
}

impl WriteJson for CachedTask {
    fn bytes_hint(&self) -> usize {
        1 + self.json().map_or_else(|| self.as_ref().bytes_hint(), <[u8]>::len)
    }

    fn write_json(&self, out: &mut Vec<u8>) {
        match self.json() {
            Some(json) => out.extend_from_slice(json),
            None => self.as_ref().write_json(out),
        }
    }
}

/// A task's JSON.
pub(crate) fn written(task: &Task) -> Vec<u8> {
    let mut json = Vec::with_capacity(task.bytes_hint());
    task.write_json(&mut json);
    json
}

fn list(tasks: &[CachedTask], out: &mut Vec<u8>) {
    for (number, task) in tasks.iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        task.write_json(out);
    }
}

/// What is left to `serde_json`: a number, and somebody's text where something has to be escaped.
fn serialized(key: &str, value: &impl Serialize, out: &mut Vec<u8>) {
    out.extend_from_slice(key.as_bytes());
    // Writing texts and numbers to memory cannot fail.
    let _ = serde_json::to_writer(out, value);
}

/// Somebody's text. `serde_json` writes it where something has to be escaped, which it looks for byte by byte.
fn text(key: &str, value: Option<&str>, out: &mut Vec<u8>) {
    match value {
        Some(value) if is_plain(value.as_bytes()) => word(key, value, out),
        value => serialized(key, &value, out),
    }
}

/// Whether JSON takes these bytes as they are. Sixteen of them are one instruction's work.
fn is_plain(text: &[u8]) -> bool {
    let escaped = |byte: &u8| (*byte < b' ') | (*byte == b'"') | (*byte == b'\\');
    let (blocks, rest) = text.as_chunks::<16>();
    let is_dirty = |block: &[u8; 16]| block.iter().fold(false, |dirty, byte| dirty | escaped(byte));
    !blocks.iter().any(is_dirty) && !rest.iter().any(escaped)
}

/// One of our own words.
#[inline]
fn word(key: &str, value: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(key.as_bytes());
    out.push(b'"');
    out.extend_from_slice(value.as_bytes());
    out.push(b'"');
}

fn uuid(key: &str, value: Option<Uuid>, out: &mut Vec<u8>) {
    let Some(value) = value else { return null(key, out) };
    let mut text = [b'"'; 1 + Hyphenated::LENGTH + 1];
    value.hyphenated().encode_lower(&mut text[1..]);
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(&text);
}

fn instant(key: &str, value: Option<Timestamp>, out: &mut Vec<u8>) {
    let Some(value) = value else { return null(key, out) };
    out.extend_from_slice(key.as_bytes());
    let time = Offset::UTC.to_datetime(value);
    let Ok(year) = u16::try_from(time.year()) else {
        out.push(b'"');
        // Writing to memory cannot fail.
        let _ = DateTimePrinter::new().print_timestamp(&value, &mut *out);
        return out.push(b'"');
    };
    let nanosecond = time.subsec_nanosecond().unsigned_abs();
    let (micros, nanos) = (nanosecond / 1_000, nanosecond % 1_000);
    let [y0, y1] = digits(u32::from(year / 100));
    let [y2, y3] = digits(u32::from(year % 100));
    let [n0, n1] = digits(time.month().unsigned_abs().into());
    let [d0, d1] = digits(time.day().unsigned_abs().into());
    let [h0, h1] = digits(time.hour().unsigned_abs().into());
    let [m0, m1] = digits(time.minute().unsigned_abs().into());
    let [s0, s1] = digits(time.second().unsigned_abs().into());
    let [f0, f1] = digits(micros / 10_000);
    let [f2, f3] = digits(micros / 100 % 100);
    let [f4, f5] = digits(micros % 100);
    let [[_, f6], [f7, f8]] = [digits(nanos / 100), digits(nanos % 100)];
    #[rustfmt::skip]
    let mut text = [
        b'"', y0, y1, y2, y3, b'-', n0, n1, b'-', d0, d1, b'T', h0, h1, b':', m0, m1, b':', s0, s1,
        b'.', f0, f1, f2, f3, f4, f5, f6, f7, f8, 0, 0,
    ];
    // Zeros at the end of a fraction go, and the point with them if nothing is left.
    let (second, micro, nano) = (20, 27, 30);
    let mut end = if nanos == 0 { micro } else { nano };
    if nanosecond == 0 {
        end = second;
    } else {
        while text[end - 1] == b'0' {
            end -= 1;
        }
    }
    text[end] = b'Z';
    text[end + 1] = b'"';
    out.extend_from_slice(&text[..end + 2]);
}

/// The two digits of a number below 100.
#[inline]
fn digits(number: u32) -> [u8; 2] {
    const ALL: [[u8; 2]; 100] = {
        let (mut all, mut number) = ([[0; 2]; 100], 0);
        while number < 100 {
            all[number] = [b'0' + number as u8 / 10, b'0' + number as u8 % 10];
            number += 1;
        }
        all
    };
    ALL[number as usize]
}

fn null(key: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"null");
}

#[cfg(test)]
mod tests {
    use proptest::option;
    use proptest::prelude::*;

    use super::*;
    use crate::store::tasks::{Place, WrittenTasks};
    use crate::store::types::Labels;

    fn ids() -> impl Strategy<Value = Uuid> {
        any::<u128>().prop_map(Uuid::from_u128)
    }

    fn instants() -> impl Strategy<Value = Timestamp> {
        let whole = (Timestamp::MIN.as_second()..Timestamp::MAX.as_second()).prop_map(|second| (second, 0));
        let any = (Timestamp::MIN.as_second()..Timestamp::MAX.as_second(), 0..1_000_000_000);
        let parts = prop_oneof![whole, any];
        parts.prop_map(|(second, nanosecond)| Timestamp::new(second, nanosecond).unwrap_or_default())
    }

    fn tasks() -> impl Strategy<Value = Task> {
        let ids = (ids(), ids(), option::of(ids()), option::of(ids()), ids());
        // Long runs of what needs no escape, and a little of what does.
        let any_text = || prop_oneof![any::<String>(), "[a-z]{0,40}[\u{0}-\u{7f}]?[a-z]{0,40}"];
        let texts = (any_text(), option::of(any_text()), prop::collection::vec(any_text(), 0..3));
        let words = (prop::sample::select(&Status::ALL[..]), prop::sample::select(&Priority::ALL[..]));
        let times = (option::of(instants()), option::of(instants()), instants(), instants());
        (ids, texts, words, times, any::<i64>()).prop_map(|(ids, texts, (status, priority), times, version)| {
            let (id, project_id, parent_id, assignee_id, created_by) = ids;
            let (title, description, labels) = texts;
            let (due_at, completed_at, created_at, updated_at) = times;
            Task {
                id,
                project_id,
                parent_id,
                title,
                description,
                status,
                priority,
                labels: Labels(labels),
                assignee_id,
                due_at,
                completed_at,
                created_by,
                created_at,
                updated_at,
                version,
            }
        })
    }

    /// A page as serde writes it.
    #[derive(Serialize)]
    struct Expected<'a> {
        items: &'a [Task],
        next_cursor: Option<&'a str>,
    }

    proptest! {
        #[test]
        fn a_page_is_written_as_serde_writes_it(
            items in prop::collection::vec(tasks(), 0..4),
            next_cursor in option::of(any::<String>()),
        ) {
            let expected = serde_json::to_string(&Expected { items: &items, next_cursor: next_cursor.as_deref() })?;
            let mut read = WrittenTasks::default();
            for task in &items {
                read.push(&written(task), Place::from(task));
            }
            let cached = items.into_iter().map(CachedTask::new).collect();
            for items in [Listed::Cached(cached), Listed::Written(read)] {
                let mut written = Vec::new();
                TaskPage { items, next_cursor: next_cursor.clone() }.write_json(&mut written);
                prop_assert_eq!(&String::from_utf8(written)?, &expected);
            }
        }
    }
}
