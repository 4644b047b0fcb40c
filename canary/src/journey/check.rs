//! Whether an answer is what it should be: status, content type, shape and meaning.

use http::{HeaderMap, StatusCode, header};
use serde_json::Value;

use super::mark::{LABEL, TITLE};
use crate::credentials::Secret;
use crate::probe::Reply;

/// A longer content type is not shown.
const TYPE_BYTES_MAX: usize = 120;

/// Why an answer is not good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wrong {
    /// The target's fault.
    Theirs(String),
    /// Ours: another attempt would change nothing, and nobody is to be woken.
    Ours(String),
}

/// What a check finds.
pub(super) type Checked<T> = Result<T, Wrong>;

fn theirs<T>(text: String) -> Checked<T> {
    Err(Wrong::Theirs(text))
}

/// One of these statuses.
pub(super) fn status(reply: &Reply, expected: &[u16]) -> Checked<()> {
    if expected.contains(&reply.status.as_u16()) {
        return Ok(());
    }
    let expected: Vec<String> = expected.iter().map(u16::to_string).collect();
    theirs(format!("answered {}, expected {}", reply.status.as_u16(), expected.join(" or ")))
}

/// A JSON object under this content type.
pub(super) fn object(reply: &Reply, content_type: &str) -> Checked<Value> {
    let found = text(&reply.headers, header::CONTENT_TYPE.as_str()).unwrap_or_default();
    if found.split(';').next().unwrap_or_default().trim() != content_type {
        // Whole or not at all: of a secret that is cut the rest would not be known as one.
        let shown = if found.len() <= TYPE_BYTES_MAX { format!("{found:?}") } else { "a very long type".to_owned() };
        return theirs(format!("answered as {shown}, expected {content_type}"));
    }
    match serde_json::from_slice(&reply.body) {
        Ok(Value::Object(fields)) => Ok(Value::Object(fields)),
        _ => theirs("the body is no JSON object".to_owned()),
    }
}

/// A problem of this kind (RFC 9457), with the same status inside.
pub(super) fn problem(reply: &Reply, expected: u16, kind: &str) -> Checked<()> {
    status(reply, &[expected])?;
    let body = object(reply, "application/problem+json")?;
    if body["status"] != expected {
        // A number is shown; anything else that stands there is nobody's business.
        let found = body["status"].as_u64().map_or_else(|| "no number".to_owned(), |number| number.to_string());
        return theirs(format!("the problem's own status is {found}, expected {expected}"));
    }
    if body["type"] != format!("urn:task-api:problem:{kind}") {
        return theirs(format!("the problem is not of the kind {kind}"));
    }
    Ok(())
}

/// Alive.
pub(super) fn health(reply: &Reply) -> Checked<()> {
    status(reply, &[200])?;
    let body = object(reply, "application/json")?;
    if body["status"] == "ok" { Ok(()) } else { theirs("health is not ok".to_owned()) }
}

/// Let in: who we are and our token. A refusal of the credentials is ours to mend.
pub(super) fn login(reply: &Reply, email: &str) -> Checked<(String, String)> {
    let refused = reply.status == StatusCode::UNAUTHORIZED && problem(reply, 401, "invalid-credentials").is_ok();
    if refused {
        return Err(Wrong::Ours("the credentials were refused: e-mail or password is wrong".to_owned()));
    }
    status(reply, &[200])?;
    let body = object(reply, "application/json")?;
    let field = |value: &Value, name: &str| {
        value
            .as_str()
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
            .ok_or_else(|| Wrong::Theirs(format!("{name} is missing")))
    };
    let (account, token) = (field(&body["user"]["id"], "user.id")?, field(&body["access_token"], "access_token")?);
    if body["token_type"] != "Bearer" || body["expires_in"].as_i64().is_none_or(|seconds| seconds <= 0) {
        return theirs("the session has no token_type Bearer, or no time left".to_owned());
    }
    let theirs_email = body["user"]["email"].as_str().unwrap_or_default();
    if folded(theirs_email) != folded(email) {
        return theirs("the session is of another user".to_owned());
    }
    Ok((account, token))
}

/// An e-mail address as the service compares it.
fn folded(email: &str) -> String {
    email.trim().to_lowercase()
}

/// The token of the session that an answer gives, whatever else is wrong with it.
pub(super) fn token(reply: &Reply) -> Option<Secret> {
    let body: Value = serde_json::from_slice(&reply.body).ok()?;
    let token = body["access_token"].as_str().filter(|token| reply.status.is_success() && !token.is_empty());
    token.map(Secret::new)
}

/// The task that is expected, and its entity tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expected {
    /// Its id.
    pub(super) id: String,
    /// Its title.
    pub(super) title: String,
    /// Its status.
    pub(super) status: &'static str,
    /// The account that made it.
    pub(super) account: String,
}

/// The task of the answer is the expected one; its version, which must be one of `versions` if any are given.
pub(super) fn task(reply: &Reply, expected: &Expected, versions: &[i64]) -> Checked<i64> {
    let body = object(reply, "application/json")?;
    let version = is_expected(&body, expected)?;
    if !versions.is_empty() && !versions.contains(&version) {
        return theirs(format!("the task's version is {version}, expected {versions:?}"));
    }
    let tag = text(&reply.headers, header::ETAG.as_str()).unwrap_or_default();
    // nginx weakens the tag of what it compresses; the version in it stays.
    if tag.trim_start_matches("W/") != format!("\"{version}\"") {
        return theirs(format!("the entity tag does not belong to version {version}"));
    }
    Ok(version)
}

fn is_expected(body: &Value, expected: &Expected) -> Checked<i64> {
    let Expected { id, title, status, account } = expected;
    let labelled = body["labels"].as_array().is_some_and(|labels| labels.iter().any(|label| label == LABEL));
    for (holds, what) in [
        (body["id"] == **id, "id: this is another task"),
        (body["title"] == **title, "title"),
        (body["status"] == *status, "status"),
        (body["created_by"] == **account, "created_by"),
        (labelled, "labels"),
    ] {
        if !holds {
            return theirs(format!("the task has not the expected {what}"));
        }
    }
    body["version"]
        .as_i64()
        .filter(|version| *version > 0)
        .ok_or_else(|| Wrong::Theirs("version is missing".to_owned()))
}

/// A page of tasks.
pub(super) fn page(reply: &Reply) -> Checked<Vec<Value>> {
    status(reply, &[200])?;
    let mut body = object(reply, "application/json")?;
    let cursor = &body["next_cursor"];
    if !cursor.is_null() && !cursor.is_string() {
        return theirs("next_cursor is neither null nor a text".to_owned());
    }
    match body["items"].take() {
        Value::Array(items) => Ok(items),
        _ => theirs("items is no list".to_owned()),
    }
}

/// A page with the expected task, as it is.
pub(super) fn listed(items: &[Value], expected: &Expected, version: i64) -> Checked<()> {
    let Some(found) = items.iter().find(|item| item["id"] == *expected.id) else {
        return theirs(format!("the task is not among the {} of the list", items.len()));
    };
    if is_expected(found, expected)? == version {
        return Ok(());
    }
    theirs("the list shows another version of the task".to_owned())
}

/// A header as text.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The title of a run's task.
pub(super) fn title(run: &str) -> String {
    format!("{TITLE}{run}")
}
