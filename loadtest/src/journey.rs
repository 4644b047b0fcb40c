//! The journeys' steps, written once: the request of each, and what its answer has to be. Both modes use them.

use hyper::body::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, Response};
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::examine::examine;
use crate::profile::Operation;
use crate::random::Random;
use crate::traits::{Condition, DUE_AFTER, LABELS, PRIORITIES, STATUSES, WORDS, place};
use crate::world::{Knowledge, Known, World};

/// Marks a request as load: the target keeps it out of its objectives, if it believes the run.
pub const SYNTHETIC: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-synthetic"), HeaderValue::from_static("load"));

/// One request that is about to be sent, and what its answer will be held against.
#[derive(Debug)]
pub struct Call {
    /// What it does.
    pub operation: Operation,
    /// Whose it is.
    pub client: usize,
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// The body; empty for none.
    pub body: Bytes,
    /// The version that the client saw.
    pub if_match: Option<i64>,
    /// What the journey's step was that could not be done yet, where this is another.
    pub instead_of: Option<Operation>,
    pub(crate) expected: Expected,
}

/// What an answer has to be.
#[derive(Debug)]
pub(crate) enum Expected {
    /// Some tasks.
    Page(Asked),
    /// This one.
    Task(Known),
    /// The one that was sent.
    Created(Value),
    /// This one, with what was sent.
    Patched(Known, Value),
    /// Nothing, and the task is gone.
    Deleted(Uuid),
}

/// What a page was asked for.
#[derive(Debug)]
pub(crate) struct Asked {
    /// Tasks at most.
    pub(crate) limit: usize,
    /// Which.
    pub(crate) condition: Condition,
    /// In which order.
    pub(crate) order: Order,
    /// Where it starts.
    pub(crate) after: Option<(Timestamp, Uuid)>,
    /// What was known by then.
    pub(crate) knowledge: Knowledge,
}

/// The order of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// The newest first.
    Created,
    /// What changed last first.
    Updated,
    /// What is due soonest first.
    Due,
    /// The most urgent first: of one urgency, any.
    Urgent,
}

/// What an answer was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judged {
    /// As it has to be.
    Good,
    /// The server says that it cannot: 5xx, or 429.
    Failed(u16),
    /// Against the contract: another status, another shape, another task than asked for.
    Violation(String),
}

impl World {
    /// The next request of whoever's turn it is.
    pub fn next(&self, random: &mut Random) -> Call {
        let index = random.rank(self.clients.len(), self.profile.zipf / 2.0);
        let step = self.clients[index].state().step(&self.profile, random);
        self.call(index, step, random)
    }

    /// A request of this client that does this. What cannot be done yet, for want of a task, is a first page or a new task.
    pub fn call(&self, client: usize, step: Operation, random: &mut Random) -> Call {
        let who = &self.clients[client];
        let (zipf, mut state) = (self.profile.zipf, who.state());
        let taken = match step {
            Operation::Get => state.begin_read(zipf, random),
            Operation::Patch => state.take_to_change(zipf, random),
            Operation::Delete => state.take_to_delete(random),
            _ => None,
        };
        let next = if step == Operation::Page { state.next_page() } else { None };
        drop(state);
        let call = |operation, method, path, body: Option<&Value>, if_match, expected| Call {
            operation,
            client,
            method,
            path,
            body: body.map_or_else(Bytes::new, |body| body.to_string().into()),
            if_match,
            instead_of: Some(step).filter(|step| *step != operation),
            expected,
        };
        let item = |task: Known| format!("/api/v1/tasks/{}", task.id);
        match (step, taken) {
            (Operation::Get, Some(task)) => call(step, Method::GET, item(task), None, None, Expected::Task(task)),
            (Operation::Patch, Some(task)) => {
                let status = random.pick(&STATUSES).copied().unwrap_or("todo");
                let body = json!({ "status": status, "title": title(&self.run, random) });
                let (path, version) = (item(task), Some(task.version));
                call(step, Method::PATCH, path, Some(&body.clone()), version, Expected::Patched(task, body))
            }
            (Operation::Delete, Some(task)) => {
                call(step, Method::DELETE, item(task), None, Some(task.version), Expected::Deleted(task.id))
            }
            (Operation::Create | Operation::Get | Operation::Patch | Operation::Delete, _) => {
                let body = self.new_task(who.project, random);
                let path = "/api/v1/tasks".to_owned();
                call(Operation::Create, Method::POST, path, Some(&body.clone()), None, Expected::Created(body))
            }
            (Operation::List | Operation::Page | Operation::Filter | Operation::Search, _) => {
                let limit = random.pick(&self.profile.page_sizes).copied().unwrap_or(50);
                let first = (Condition::Any, Order::Created);
                let (operation, query, (condition, order)) = match (step, &next) {
                    // A cursor belongs to the filter, the sort and the person it was given for.
                    (Operation::Page, Some(next)) => (step, format!("&cursor={}", next.cursor), first),
                    (Operation::Filter, _) => {
                        let (query, condition, order) = filter(who.project, random);
                        (step, query, (condition, order))
                    }
                    (Operation::Search, _) => {
                        let word = random.below(WORDS.len());
                        (step, format!("&q={}", WORDS[word]), (Condition::Word(word as u8), Order::Created))
                    }
                    // There is no next page: what a person sees then is the first one.
                    _ => (Operation::List, String::new(), first),
                };
                let (path, limit) = (format!("/api/v1/tasks?limit={limit}{query}"), limit as usize);
                let after = next.map(|next| next.after).filter(|_| operation == Operation::Page);
                let knowledge = who.state().before_page(condition, after.map(|after| after.1));
                let asked = Asked { limit, condition, order, after, knowledge };
                call(operation, Method::GET, path, None, None, Expected::Page(asked))
            }
        }
    }

    /// A task as somebody writes it down.
    pub fn new_task(&self, project: Uuid, random: &mut Random) -> Value {
        let [from, to] = self.profile.description_bytes;
        let length = from + random.below(to - from + 1);
        let mut description = String::with_capacity(length + 16);
        while description.len() < length {
            description.push_str(random.pick(&WORDS).copied().unwrap_or_default());
            description.push(' ');
        }
        description.truncate(length);
        let mut task = json!({
            "project_id": project,
            "title": title(&self.run, random),
            "status": STATUSES[random.rank(STATUSES.len(), 1.0)],
            "priority": PRIORITIES[random.below(PRIORITIES.len())],
            "labels": [LABELS[random.rank(LABELS.len(), 1.0)]],
        });
        if !description.trim().is_empty() {
            task["description"] = description.into();
        }
        if random.fraction() < 0.4 {
            task["due_at"] = format!("2030-{:02}-{:02}T17:00:00Z", 1 + random.below(12), 1 + random.below(28)).into();
        }
        task
    }

    /// Holds an answer against its call and remembers what it says. To be called for every call, answered or not.
    pub fn settle(&self, call: &Call, answer: Option<&Response<Bytes>>) -> Judged {
        let client = &self.clients[call.client];
        if let Expected::Task(task) = &call.expected {
            client.state().read(task.id);
        }
        let Some(answer) = answer else { return Judged::Failed(0) };
        let status = answer.status().as_u16();
        if status >= 500 || status == 429 {
            return Judged::Failed(status);
        }
        match examine(call, answer, client) {
            Ok(()) => Judged::Good,
            Err(why) => Judged::Violation(format!("{}: {why}", call.operation.as_str())),
        }
    }
}

fn title(run: &str, random: &mut Random) -> String {
    let word = |random: &mut Random| WORDS[random.below(WORDS.len())];
    format!("{} {} {} (loadtest {run})", word(random), word(random), random.below(10_000))
}

/// Filters with the sorts that are served with them, as the API's description lists them.
fn filter(project: Uuid, random: &mut Random) -> (String, Condition, Order) {
    let status = |status| Condition::Status(place(&STATUSES, status));
    match random.below(5) {
        0 => ("&status=todo&sort=-updated_at".to_owned(), status("todo"), Order::Updated),
        1 => (format!("&project_id={project}&status=in_progress"), status("in_progress"), Order::Created),
        2 => {
            let condition = Condition::Priority(place(&PRIORITIES, "high"));
            ("&priority=high&sort=-priority".to_owned(), condition, Order::Urgent)
        }
        3 => {
            let label = random.rank(LABELS.len(), 1.0);
            (format!("&label={}", LABELS[label]), Condition::Label(label as u8), Order::Created)
        }
        _ => (format!("&due_after={DUE_AFTER}"), Condition::DueLater, Order::Due),
    }
}
