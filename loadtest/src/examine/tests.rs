//! Every way in which an answer can be wrong, by hand.

use hyper::StatusCode;
use hyper::header::HeaderValue;
use serde_json::json;

use super::*;
use crate::journey::Judged;
use crate::profile::Profile;
use crate::random::Random;
use crate::world::{Session, World};

const PROJECT: Uuid = Uuid::from_u128(7);

/// Six tasks, the oldest first, as the target keeps them; and somebody who made them.
fn world() -> (World, Vec<Value>) {
    let session = Session { bearer: HeaderValue::from_static("Bearer t"), refresh: "r".to_owned() };
    let client = Client::new(PROJECT, session);
    let tasks: Vec<Value> = (1..=6).map(|number| task(number, "todo")).collect();
    for task in &tasks {
        client.state().put(id_of(task), 1, Traits::of(task));
    }
    let profile = Profile::read(None).expect("the default profile is valid");
    (World { profile, run: "r".to_owned(), clients: vec![client] }, tasks)
}

fn task(number: u32, status: &str) -> Value {
    json!({
        "id": Uuid::from_u128(number.into()), "project_id": PROJECT, "title": "invoice budget 1 (loadtest r)",
        "description": "audit", "status": status, "priority": "high", "labels": ["bug"], "due_at": "2030-07-01T17:00:00Z",
        "created_at": format!("2026-01-01T00:00:0{number}Z"), "updated_at": format!("2026-01-01T00:00:0{number}Z"), "version": 1,
    })
}

fn id_of(task: &Value) -> Uuid {
    task["id"].as_str().and_then(|id| id.parse().ok()).expect("an id")
}

fn answer(status: u16, body: &Value) -> Response<Bytes> {
    let text = if body.is_null() { String::new() } else { body.to_string() };
    let mut answer = Response::new(Bytes::from(text));
    *answer.status_mut() = StatusCode::from_u16(status).expect("a status");
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(version) = body["version"].as_i64() {
        headers.insert(header::ETAG, HeaderValue::from_str(&format!("\"{version}\"")).expect("a tag"));
    }
    if let Some(id) = body["id"].as_str().filter(|_| status == 201) {
        headers.insert(header::LOCATION, HeaderValue::from_str(&format!("/api/v1/tasks/{id}")).expect("a place"));
    }
    answer
}

/// What is said of an answer to a step; empty when nothing is. `answer` is made from the call and the tasks.
fn said(step: Operation, seed: u64, make: impl Fn(&Call, &[Value]) -> Response<Bytes>) -> String {
    let (world, tasks) = world();
    let call = world.call(0, step, &mut Random::new(seed));
    match world.settle(&call, Some(&make(&call, &tasks))) {
        Judged::Good => String::new(),
        Judged::Failed(status) => format!("failed {status}"),
        Judged::Violation(text) => text,
    }
}

fn page(items: &[Value]) -> Response<Bytes> {
    let newest_first: Vec<&Value> = items.iter().rev().collect();
    answer(200, &json!({ "items": newest_first, "next_cursor": null }))
}

fn with(task: &Value, field: &str, value: Value) -> Value {
    let mut task = task.clone();
    task[field] = value;
    task
}

fn asked_for(call: &Call, tasks: &[Value]) -> Value {
    tasks.iter().find(|task| call.path.ends_with(task["id"].as_str().unwrap_or("-"))).expect("the task").clone()
}

/// The task that a call changes, as the target has it afterwards.
fn changed(call: &Call, tasks: &[Value]) -> Value {
    let mut task = asked_for(call, tasks);
    let sent: Value = serde_json::from_slice(&call.body).expect("what was sent");
    sent.as_object().expect("fields").iter().for_each(|(field, value)| task[field] = value.clone());
    task["version"] = json!(2);
    task
}

/// The task that a call makes, as the target has it afterwards.
fn created(call: &Call) -> Value {
    let mut task = task(9, "todo");
    let sent: Value = serde_json::from_slice(&call.body).expect("what was sent");
    task["description"] = Value::Null;
    sent.as_object().expect("fields").iter().for_each(|(field, value)| task[field] = value.clone());
    task
}

#[test]
fn an_answer_that_is_right_is_good() {
    assert_eq!(said(Operation::List, 1, |_, tasks| page(tasks)), "");
    assert_eq!(said(Operation::Get, 1, |call, tasks| answer(200, &asked_for(call, tasks))), "");
    assert_eq!(said(Operation::Create, 1, |call, _| answer(201, &created(call))), "");
    assert_eq!(said(Operation::Patch, 1, |call, tasks| answer(200, &changed(call, tasks))), "");
    assert_eq!(said(Operation::Delete, 1, |_, _| answer(204, &Value::Null)), "");
}

#[test]
fn what_the_server_cannot_is_no_violation_and_another_status_is() {
    assert_eq!(said(Operation::List, 1, |_, _| answer(503, &json!({}))), "failed 503");
    assert_eq!(said(Operation::List, 1, |_, _| answer(429, &json!({}))), "failed 429");
    for step in [Operation::List, Operation::Get, Operation::Create, Operation::Patch, Operation::Delete] {
        let text = said(step, 1, |_, _| answer(404, &json!({})));
        assert!(text.contains("status 404 in place of 20"), "{step:?}: {text}");
    }
}

#[test]
fn every_wrong_page_is_seen() {
    type Make = fn(&[Value]) -> Response<Bytes>;
    let cases: [(Make, &str); 11] = [
        (|_| answer(200, &json!({ "items": [], "next_cursor": null })), "nothing where there are tasks"),
        (|tasks| page(&tasks[1..]), "tasks are missing"),
        (|tasks| page(&[tasks, &tasks[5..]].concat()), "a task twice"),
        (|tasks| page(&tasks.iter().rev().cloned().collect::<Vec<_>>()), "not in the order asked for"),
        (
            |tasks| page(&[&tasks[..5], &[with(&tasks[5], "project_id", json!(Uuid::nil()))]].concat()),
            "of another project",
        ),
        (|tasks| page(&vec![tasks[0].clone(); 60]), "items on a page of"),
        (|_| answer(200, &json!({ "tasks": [] })), "a body of another shape (Data)"),
        (|_| answer(200, &json!([1])), "a body of another shape"),
        (
            |tasks| page(&[&tasks[..5], &[with(&tasks[5], "status", Value::Null)]].concat()),
            "a body of another shape (Data)",
        ),
        (
            |tasks| page(&[&tasks[..5], &[with(&tasks[5], "created_at", json!("noon"))]].concat()),
            "a body of another shape",
        ),
        (|_| Response::new(Bytes::from_static(b"{}")), "an answer that is not application/json"),
    ];
    for (make, expected) in cases {
        let text = said(Operation::List, 1, |_, tasks| make(tasks));
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn a_filter_and_a_word_are_respected_and_what_fits_is_found() {
    let found = |seed, step: Operation| {
        let (world, _) = world();
        world.call(0, step, &mut Random::new(seed)).path
    };
    let seed = |step: Operation, part: &str| {
        (0..500).find(|seed| found(*seed, step).contains(part)).unwrap_or_else(|| panic!("no call with {part}"))
    };
    for (step, part, field, other) in [
        (Operation::Filter, "status=todo", "status", json!("done")),
        (Operation::Filter, "priority=high", "priority", json!("low")),
        (Operation::Filter, "label=bug", "labels", json!(["ops"])),
        (Operation::Filter, "due_after", "due_at", json!("2030-01-01T17:00:00Z")),
        (Operation::Filter, "due_after", "due_at", Value::Null),
        (Operation::Search, "q=invoice", "title", json!("survey partner 1")),
    ] {
        let seed = seed(step, part);
        let due = part == "due_after";
        let sorted =
            |tasks: &[Value]| if due { page(&tasks.iter().rev().cloned().collect::<Vec<_>>()) } else { page(tasks) };
        assert_eq!(said(step, seed, |_, tasks| sorted(tasks)), "", "{part}");
        let none = said(step, seed, |_, _| page(&[]));
        assert!(none.contains("nothing where there are tasks"), "{part}: {none}");
        let wrong =
            said(step, seed, |_, tasks| page(&[&tasks[..5], &[with(&tasks[5], field, other.clone())]].concat()));
        assert!(wrong.contains("a task that was not asked for"), "{part}: {wrong}");
    }
    let updated = seed(Operation::Filter, "sort=-updated_at");
    let text = said(Operation::Filter, updated, |_, tasks| page(&tasks.iter().rev().cloned().collect::<Vec<_>>()));
    assert!(text.contains("not in the order asked for"), "{text}");
    let due = seed(Operation::Filter, "due_after");
    let text = said(Operation::Filter, due, |_, tasks| {
        page(
            &[&[with(&tasks[0], "due_at", json!("2031-01-01T00:00:00Z"))], &tasks[1..]]
                .concat()
                .into_iter()
                .rev()
                .collect::<Vec<_>>(),
        )
    });
    assert!(text.contains("not in the order asked for"), "{text}");
}

#[test]
fn the_next_page_begins_behind_the_last_one_for_as_many_pages_as_are_turned() {
    let (world, tasks) = world();
    let mut random = Random::new(1);
    let turned = |items: &[Value], cursor: &str| {
        let newest_first: Vec<&Value> = items.iter().rev().collect();
        answer(200, &json!({ "items": newest_first, "next_cursor": cursor }))
    };
    let list = world.call(0, Operation::List, &mut random);
    assert_eq!(list.instead_of, None);
    let _ = world.settle(&list, Some(&turned(&tasks, "one")));
    let second = world.call(0, Operation::Page, &mut random);
    assert!(second.path.ends_with("&cursor=one"), "{}", second.path);
    let same = world.settle(&second, Some(&turned(&tasks[..2], "two")));
    assert_eq!(same, Judged::Violation("page: a task twice".to_owned()), "the last task of the first page is task 1");

    let older = with(&task(0, "todo"), "created_at", json!("2025-01-01T00:00:00Z"));
    let _ = world.settle(&list, Some(&turned(&tasks, "one")));
    let second = world.call(0, Operation::Page, &mut random);
    assert_eq!(world.settle(&second, Some(&turned(std::slice::from_ref(&older), "two"))), Judged::Good);
    let third = world.call(0, Operation::Page, &mut random);
    assert!(third.path.ends_with("&cursor=two"), "{}", third.path);
    let later = with(&older, "id", json!(Uuid::from_u128(99)));
    let later = with(&later, "created_at", json!("2025-06-01T00:00:00Z"));
    let wrong = world.settle(&third, Some(&turned(&[later], "three")));
    assert_eq!(wrong, Judged::Violation("page: not in the order asked for".to_owned()));

    let _ = world.settle(&list, Some(&page(&tasks)));
    let none = world.call(0, Operation::Page, &mut random);
    assert_eq!((none.operation, none.instead_of), (Operation::List, Some(Operation::Page)), "there is no next page");
}

#[test]
fn every_wrong_task_is_seen() {
    let get = |make: &dyn Fn(Value) -> Value| {
        said(Operation::Get, 1, |call, tasks| answer(200, &make(asked_for(call, tasks))))
    };
    let other = |field: &'static str, value: Value| move |task: Value| with(&task, field, value.clone());
    assert!(get(&other("id", json!(Uuid::nil()))).contains("another task than the one asked for"));
    assert!(get(&other("version", json!(2))).contains("another version than the one written last"));
    assert!(get(&other("status", json!("done"))).contains("other fields than those written last"));
    assert!(get(&other("title", json!("survey"))).contains("other fields than those written last"));
    assert!(get(&other("project_id", json!(Uuid::nil()))).contains("a task of another project"));
    let untagged = said(Operation::Get, 1, |call, tasks| {
        let mut answer = answer(200, &asked_for(call, tasks));
        answer.headers_mut().insert(header::ETAG, HeaderValue::from_static("\"7\""));
        answer
    });
    assert!(untagged.contains("an ETag that is not the version"), "{untagged}");

    for field in ["title", "status", "priority", "labels", "description"] {
        let value = if field == "labels" { json!(["other"]) } else { json!("other") };
        let text = said(Operation::Create, 1, |call, _| answer(201, &with(&created(call), field, value.clone())));
        assert!(text.contains("other fields than those sent"), "{field}: {text}");
    }
    let lost = said(Operation::Create, 1, |call, _| {
        let mut answer = answer(201, &created(call));
        answer.headers_mut().remove(header::LOCATION);
        answer
    });
    assert!(lost.contains("no Location of the new task"), "{lost}");

    let patch = |field: &'static str, value: Value| {
        said(Operation::Patch, 1, |call, tasks| answer(200, &with(&changed(call, tasks), field, value.clone())))
    };
    assert!(patch("id", json!(Uuid::nil())).contains("another task than the one changed"));
    assert!(patch("title", json!("other")).contains("the change is not in the answer"));
    assert!(patch("status", json!("other")).contains("the change is not in the answer"));
    assert!(patch("version", json!(1)).contains("the change is not in the answer"));

    assert!(said(Operation::Delete, 1, |_, _| answer(204, &json!({}))).contains("a body behind 204"));
}

#[test]
fn a_deleted_task_is_on_no_page_asked_for_afterwards() {
    let (world, tasks) = world();
    let mut random = Random::new(1);
    let before = world.call(0, Operation::List, &mut random);
    let delete = world.call(0, Operation::Delete, &mut random);
    assert_eq!(world.settle(&delete, Some(&answer(204, &Value::Null))), Judged::Good);
    assert_eq!(world.settle(&before, Some(&page(&tasks))), Judged::Good, "it was asked for before");
    let after = world.call(0, Operation::List, &mut random);
    let said = world.settle(&after, Some(&page(&tasks)));
    assert_eq!(said, Judged::Violation("list: a task that was deleted".to_owned()));
}
