//! Tasks as JSON, the bytes that `serde_json` would write, in a third of its instructions: it looks through every key, id and time
//! for what has to be escaped, and none of them can hold any. Half of what a list cost was this.

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use serde::Serialize;
use uuid::Uuid;

use super::list::TaskPage;
use super::model::Task;
use crate::http::json::WriteJson;

/// A task without a description, with some room for one.
const TASK_BYTES: usize = 768;

impl WriteJson for Task {
    fn bytes_hint(&self) -> usize {
        TASK_BYTES + self.description.as_ref().map_or(0, String::len)
    }

    fn write_json(&self, out: &mut Vec<u8>) {
        // Whoever adds a field is told here.
        let Task {
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
        uuid(r#"{"id":"#, Some(*id), out);
        uuid(r#","project_id":"#, Some(*project_id), out);
        uuid(r#","parent_id":"#, *parent_id, out);
        serialized(r#","title":"#, title, out);
        serialized(r#","description":"#, description, out);
        word(r#","status":"#, status.as_str(), out);
        word(r#","priority":"#, priority.as_str(), out);
        serialized(r#","labels":"#, labels, out);
        uuid(r#","assignee_id":"#, *assignee_id, out);
        instant(r#","due_at":"#, *due_at, out);
        instant(r#","completed_at":"#, *completed_at, out);
        uuid(r#","created_by":"#, Some(*created_by), out);
        instant(r#","created_at":"#, Some(*created_at), out);
        instant(r#","updated_at":"#, Some(*updated_at), out);
        serialized(r#","version":"#, version, out);
        out.push(b'}');
    }
}

impl WriteJson for TaskPage {
    fn bytes_hint(&self) -> usize {
        TASK_BYTES + self.items.iter().map(Task::bytes_hint).sum::<usize>()
    }

    fn write_json(&self, out: &mut Vec<u8>) {
        let TaskPage { items, next_cursor } = self;
        out.extend_from_slice(br#"{"items":["#);
        for (number, task) in items.iter().enumerate() {
            if number > 0 {
                out.push(b',');
            }
            task.write_json(out);
        }
        out.push(b']');
        serialized(r#","next_cursor":"#, next_cursor, out);
        out.push(b'}');
    }
}

/// What `serde_json` is left to write: somebody's text, where something may have to be escaped, and a number.
fn serialized(key: &str, value: &impl Serialize, out: &mut Vec<u8>) {
    out.extend_from_slice(key.as_bytes());
    // Writing texts and numbers to memory cannot fail.
    let _ = serde_json::to_writer(out, value);
}

/// One of our own words.
fn word(key: &str, value: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(key.as_bytes());
    out.push(b'"');
    out.extend_from_slice(value.as_bytes());
    out.push(b'"');
}

fn uuid(key: &str, value: Option<Uuid>, out: &mut Vec<u8>) {
    match value {
        Some(value) => word(key, value.hyphenated().encode_lower(&mut Uuid::encode_buffer()), out),
        None => null(key, out),
    }
}

fn instant(key: &str, value: Option<Timestamp>, out: &mut Vec<u8>) {
    let Some(value) = value else { return null(key, out) };
    out.extend_from_slice(key.as_bytes());
    out.push(b'"');
    // Writing to memory cannot fail.
    let _ = DateTimePrinter::new().print_timestamp(&value, &mut *out);
    out.push(b'"');
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
    use crate::store::types::Labels;
    use crate::tasks::model::{Priority, Status};

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
        let texts = (any::<String>(), option::of(any::<String>()), prop::collection::vec(any::<String>(), 0..3));
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

    proptest! {
        #[test]
        fn a_page_is_written_as_serde_writes_it(
            items in prop::collection::vec(tasks(), 0..4),
            next_cursor in option::of(any::<String>()),
        ) {
            let page = TaskPage { items, next_cursor };
            let mut written = Vec::new();
            page.write_json(&mut written);
            prop_assert_eq!(String::from_utf8(written)?, serde_json::to_string(&page)?);
        }
    }
}
