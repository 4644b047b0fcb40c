//! Whether an answer is what the call had to get: status, shape, the tasks asked for, in their order, none missing.

use std::borrow::Cow;
use std::collections::HashSet;

use hyper::Response;
use hyper::body::Bytes;
use hyper::header;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use crate::journey::{Asked, Call, Expected, Order};
use crate::profile::Operation;
use crate::traits::{Condition, DUE_AFTER, LABELS, PRIORITIES, STATUSES, Traits, WORDS, place, words};
use crate::world::{Client, Next};

/// So many tasks a next page may lack that is nearly the last: ids and times of tasks made in one moment may be in another order.
const NEARLY_LAST: usize = 5;

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    items: Vec<Item<'a>>,
    next_cursor: Option<String>,
}

/// The fields that every task has and that a client relies on.
#[derive(Deserialize)]
struct Item<'a> {
    id: Uuid,
    project_id: Uuid,
    #[serde(borrow)]
    title: Cow<'a, str>,
    description: Option<Cow<'a, str>>,
    status: &'a str,
    priority: &'a str,
    #[serde(borrow)]
    labels: Vec<&'a str>,
    due_at: Option<Timestamp>,
    created_at: Timestamp,
    updated_at: Timestamp,
    version: i64,
}

/// Holds an answer against its call, and remembers what it says.
pub(crate) fn examine(call: &Call, answer: &Response<Bytes>, client: &Client) -> Result<(), String> {
    let wanted = match &call.expected {
        Expected::Created(_) => 201,
        Expected::Deleted(_) => 204,
        _ => 200,
    };
    let status = answer.status().as_u16();
    if status != wanted {
        return Err(format!("status {status} in place of {wanted}"));
    }
    match &call.expected {
        Expected::Deleted(id) if answer.body().is_empty() => client.state().deleted(*id),
        Expected::Deleted(_) => return Err("a body behind 204".to_owned()),
        Expected::Page(asked) => {
            let page: Page<'_> = parsed(answer)?;
            let asked_for = of_page(asked, &page.items, client);
            let last = page.items.last().map(|item| (item.created_at, item.id));
            let mut state = client.state();
            state.saw(page.items.first().map(|item| item.id));
            if matches!(call.operation, Operation::List | Operation::Page) {
                let next = page.next_cursor.zip(last);
                state.turn_to(next.map(|(cursor, after)| Next { cursor, after }));
            }
            drop(state);
            asked_for?;
        }
        Expected::Task(task) => {
            let item = tagged(answer, client)?;
            if item.id != task.id {
                return Err("another task than the one asked for".to_owned());
            }
            // Nobody changes a task while it is read.
            if item.version != task.version {
                return Err("another version than the one written last".to_owned());
            }
            if item.status != STATUSES[usize::from(task.traits.status)] || words(&item.title) != task.traits.words {
                return Err("other fields than those written last".to_owned());
            }
        }
        Expected::Created(sent) => {
            let item = tagged(answer, client)?;
            if !is_as_sent(&item, sent, &["title", "status", "priority", "labels", "description"]) {
                return Err("other fields than those sent".to_owned());
            }
            let location = answer.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
            if !location.is_some_and(|location| location.ends_with(&item.id.to_string())) {
                return Err("no Location of the new task".to_owned());
            }
            client.state().put(item.id, item.version, Traits::of(sent));
        }
        Expected::Patched(task, sent) => {
            let item = tagged(answer, client)?;
            if item.id != task.id {
                return Err("another task than the one changed".to_owned());
            }
            if !is_as_sent(&item, sent, &["title", "status"]) || item.version <= task.version {
                return Err("the change is not in the answer".to_owned());
            }
            let traits = Traits { status: place(&STATUSES, item.status), words: words(&item.title), ..task.traits };
            client.state().put(item.id, item.version, traits);
        }
    }
    Ok(())
}

fn of_page(asked: &Asked, items: &[Item<'_>], client: &Client) -> Result<(), String> {
    if items.len() > asked.limit {
        return Err(format!("{} items on a page of {}", items.len(), asked.limit));
    }
    if items.iter().any(|item| item.project_id != client.project) {
        return Err("a task of another project".to_owned());
    }
    if !items.iter().all(|item| fits(asked.condition, item)) {
        return Err("a task that was not asked for".to_owned());
    }
    let ids: HashSet<Uuid> = items.iter().map(|item| item.id).collect();
    if ids.len() < items.len() || asked.after.is_some_and(|(_, last)| ids.contains(&last)) {
        return Err("a task twice".to_owned());
    }
    let before = |a: &Item<'_>, b: &Item<'_>| match asked.order {
        Order::Created => a.created_at >= b.created_at,
        Order::Updated => a.updated_at >= b.updated_at,
        Order::Due => a.due_at <= b.due_at,
        Order::Urgent => true, // all of one urgency
    };
    let begins = asked.after.zip(items.first()).is_none_or(|((at, _), first)| first.created_at <= at);
    if !begins || !items.is_sorted_by(before) {
        return Err("not in the order asked for".to_owned());
    }
    let state = client.state();
    if items.iter().any(|item| state.was_gone(item.id, &asked.knowledge)) {
        return Err("a task that was deleted".to_owned());
    }
    let least = match asked.after {
        None => state.least(&asked.knowledge).min(asked.limit),
        Some(_) => usize::from(state.least(&asked.knowledge) >= NEARLY_LAST),
    };
    match items.len() {
        count if count >= least => Ok(()),
        0 => Err("nothing where there are tasks".to_owned()),
        _ => Err("tasks are missing".to_owned()),
    }
}

fn fits(condition: Condition, item: &Item<'_>) -> bool {
    let is = |list: &[&str], index: u8, word: &str| list.get(usize::from(index)).is_some_and(|wanted| *wanted == word);
    match condition {
        Condition::Any => true,
        Condition::Status(status) => is(&STATUSES, status, item.status),
        Condition::Priority(priority) => is(&PRIORITIES, priority, item.priority),
        Condition::Label(label) => item.labels.iter().any(|word| is(&LABELS, label, word)),
        Condition::DueLater => {
            item.due_at.is_some_and(|due| DUE_AFTER.parse().is_ok_and(|from: Timestamp| due >= from))
        }
        Condition::Word(word) => {
            let word = WORDS.get(usize::from(word)).copied().unwrap_or_default();
            item.title.contains(word) || item.description.as_ref().is_some_and(|text| text.contains(word))
        }
    }
}

/// Whether these fields, where they were sent, are in the answer as they were.
fn is_as_sent(item: &Item<'_>, sent: &Value, fields: &[&str]) -> bool {
    fields.iter().filter(|field| !sent[**field].is_null()).all(|field| match *field {
        "title" => sent["title"] == *item.title,
        "status" => sent["status"] == item.status,
        "priority" => sent["priority"] == item.priority,
        "labels" => sent["labels"].as_array().is_some_and(|labels| item.labels.iter().eq(labels.iter())),
        _ => item.description.as_deref().is_some_and(|text| sent[*field] == text),
    })
}

fn parsed<'a, T: Deserialize<'a>>(answer: &'a Response<Bytes>) -> Result<T, String> {
    let json = answer.headers().get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes() == b"application/json");
    if !json {
        return Err("an answer that is not application/json".to_owned());
    }
    // The error's own text may quote the body: its class and place are enough.
    serde_json::from_slice(answer.body()).map_err(|error| format!("a body of another shape ({:?})", error.classify()))
}

fn tagged<'a>(answer: &'a Response<Bytes>, client: &Client) -> Result<Item<'a>, String> {
    let item: Item<'a> = parsed(answer)?;
    let tag = answer.headers().get(header::ETAG).and_then(|value| value.to_str().ok());
    if tag != Some(format!("\"{}\"", item.version).as_str()) {
        return Err("an ETag that is not the version".to_owned());
    }
    if item.project_id != client.project {
        return Err("a task of another project".to_owned());
    }
    Ok(item)
}

#[cfg(test)]
mod tests;
