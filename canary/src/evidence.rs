//! What may be kept of an answer: enough to see what went wrong, and nothing that is a secret or somebody's text.

use std::collections::BTreeMap;

use http::{HeaderMap, header};
use serde_json::Value;
use telemetry::redact::redact;

use crate::journey::mark::TITLE;
use crate::probe::Reply;

/// The most bytes of a body that are kept.
const BODY_BYTES_MAX: usize = 4096;
/// The most headers, and the most bytes of one.
const HEADERS_MAX: usize = 32;
const HEADER_BYTES_MAX: usize = 512;
const HIDDEN: &str = "[redacted]";
/// A longer word in a value that is shown is a token and no word.
const WORD_MAX: usize = 40;

/// Headers whose values say nothing secret, and are worth seeing.
const HEADERS_SHOWN: &[&str] = &[
    "age",
    "allow",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "etag",
    "location",
    "retry-after",
    "server",
    "traceparent",
    "transfer-encoding",
    "vary",
    "via",
    "www-authenticate",
    "x-amzn-trace-id",
    "x-cache",
    "x-request-id",
];

/// Fields of our API whose texts are ids, times and words of closed sets.
const FIELDS_SHOWN: &[&str] = &[
    "completed_at",
    "created_at",
    "created_by",
    "due_at",
    "id",
    "parent_id",
    "pointer",
    "priority",
    "project_id",
    "request_id",
    "status",
    "token_type",
    "trace_id",
    "type",
    "updated_at",
];

/// Headers with the values that may be shown. `secrets` are hidden wherever they stand.
pub(crate) fn headers(headers: &HeaderMap, secrets: &[&str]) -> BTreeMap<String, String> {
    let shown = headers.iter().take(HEADERS_MAX).map(|(name, value)| {
        let value = value.to_str().ok().filter(|_| HEADERS_SHOWN.contains(&name.as_str()));
        // First whole: a secret of which the end is cut off is not found any more.
        let value = value.map(|value| without_query(cut(&without(secrets, value), HEADER_BYTES_MAX)));
        let name = without(secrets, name.as_str());
        (cut(&name, HEADER_BYTES_MAX).to_owned(), value.unwrap_or_else(|| HIDDEN.to_owned()))
    });
    shown.collect()
}

/// A text without these secrets. The longer ones go first: one may be a part of another. In a header's name and in a host's
/// letters are small, so case makes no difference.
pub(crate) fn without(secrets: &[&str], text: &str) -> String {
    let mut secrets: Vec<&str> = secrets.iter().copied().filter(|secret| !secret.is_empty()).collect();
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets.iter().fold(text.to_owned(), |text, secret| {
        let (small, wanted) = (text.to_ascii_lowercase(), secret.to_ascii_lowercase());
        let (mut out, mut from) = (String::with_capacity(text.len()), 0);
        // Bytes of both are at the same places: only ASCII letters have changed.
        for (at, _) in small.match_indices(&wanted) {
            out.push_str(&text[from..at]);
            out.push_str(HIDDEN);
            from = at + wanted.len();
        }
        out + &text[from..]
    })
}

/// A query may hold anything.
fn without_query(value: &str) -> String {
    value.split_once('?').map_or_else(|| value.to_owned(), |(path, _)| format!("{path}?{HIDDEN}"))
}

/// The body with what may be shown. `secrets` are hidden wherever they stand.
pub(crate) fn body(reply: &Reply, secrets: &[&str]) -> Option<String> {
    if reply.body.is_empty() {
        return None;
    }
    let of_problem = reply
        .headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.to_str().is_ok_and(|kind| kind.starts_with("application/problem+json")));
    let text = match serde_json::from_slice::<Value>(&reply.body) {
        Ok(mut value) => {
            hide(&mut value, None, of_problem, secrets);
            value.to_string()
        }
        // A proxy's page, mostly.
        Err(_) => redact(&without(secrets, &String::from_utf8_lossy(&reply.body))),
    };
    // Once more over the whole: a secret of digits may stand there as a number.
    let text = without(secrets, &text);
    Some(cut(&text, BODY_BYTES_MAX).to_owned())
}

/// Secrets are hidden before the value becomes text again: JSON writes a quote, a backslash or a line break otherwise, and a
/// secret that has one would not be found.
fn hide(value: &mut Value, field: Option<&str>, of_problem: bool, secrets: &[&str]) {
    match value {
        Value::Object(fields) => {
            let known = std::mem::take(fields).into_iter().map(|(name, mut value)| {
                hide(&mut value, Some(&name), of_problem, secrets);
                (without(secrets, &name), value)
            });
            *fields = known.collect();
        }
        Value::Array(items) => items.iter_mut().for_each(|item| hide(item, field, of_problem, secrets)),
        Value::String(text) => {
            let field = field.unwrap_or_default();
            let own = field == "title" && text.starts_with(TITLE);
            let told = of_problem && matches!(field, "title" | "detail");
            if own || told || (FIELDS_SHOWN.contains(&field) && text.len() <= WORD_MAX.max(64)) {
                *text = redacted_words(&without(secrets, text));
            } else {
                HIDDEN.clone_into(text);
            }
        }
        _ => {}
    }
}

/// A field that should hold a word may hold a token after all.
fn redacted_words(text: &str) -> String {
    let word = |word: &str| {
        let token = word.len() > WORD_MAX && !word.starts_with("urn:task-api:");
        if token || word.contains('@') { HIDDEN.to_owned() } else { word.to_owned() }
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderValue, StatusCode};
    use hyper::body::Bytes;
    use proptest::prelude::*;

    fn reply(kind: &'static str, body: impl Into<Bytes>) -> Reply {
        let headers = [(header::CONTENT_TYPE, HeaderValue::from_static(kind))].into_iter().collect();
        Reply { status: StatusCode::OK, headers, body: body.into() }
    }

    #[test]
    fn tokens_passwords_and_texts_of_tasks_are_hidden_and_ids_are_shown() {
        let text = r#"{"access_token":"eyJhbGciOi","user":{"email":"ann@example.com","id":"0197c3a5-6f2e"},
            "items":[{"title":"Fire Bob","description":"on Monday","labels":["hr"],"status":"todo","version":3},
            {"title":"canary probe 1"}]}"#;
        let kept = body(&reply("application/json", text), &[]).unwrap();
        for secret in ["eyJ", "ann@", "Fire", "Monday", "hr\""] {
            assert!(!kept.contains(secret), "{secret}: {kept}");
        }
        for shown in ["0197c3a5-6f2e", "todo", "\"version\":3", "canary probe 1"] {
            assert!(kept.contains(shown), "{shown}: {kept}");
        }
    }

    #[test]
    fn a_problem_says_what_it_is() {
        let text = r#"{"type":"urn:task-api:problem:not-found","title":"There is no such thing","detail":"ask ann@example.com"}"#;
        let kept = body(&reply("application/problem+json", text), &[]).unwrap();
        assert!(kept.contains("urn:task-api:problem:not-found") && kept.contains("no such thing"), "{kept}");
        assert!(!kept.contains("ann@"), "{kept}");
    }

    #[test]
    fn headers_keep_their_names_and_lose_their_secrets() {
        let mut given = HeaderMap::new();
        given.insert("set-cookie", HeaderValue::from_static("session=hunter22"));
        given.insert("location", HeaderValue::from_static("https://a/b?token=hunter22"));
        given.insert("server", HeaderValue::from_static("nginx"));
        let kept = format!("{:?}", headers(&given, &[]));
        assert!(!kept.contains("hunter22") && kept.contains("set-cookie") && kept.contains("nginx"), "{kept}");
    }

    #[test]
    fn a_secret_is_hidden_in_headers_names_and_where_json_writes_it_otherwise() {
        let secrets = &["hunter\"22\\", "Sesame-Sesame", "hunter"][..];
        let text = serde_json::json!({
            "id": "hunter\"22\\", "detail": "a hunter\"22\\ b", "hunter\"22\\": 1, "status": ["sesame-sesame"],
        });
        let kept = body(&reply("application/problem+json", text.to_string()), secrets).unwrap();
        assert!(!kept.contains("hunter") && !kept.contains("22") && !kept.contains("esame"), "{kept}");

        let mut given = HeaderMap::new();
        given.insert("www-authenticate", HeaderValue::from_static("Bearer realm=\"hunter\"22\\\""));
        let long = format!("/{}Sesame-Sesame", "a".repeat(HEADER_BYTES_MAX - 6));
        given.insert("location", HeaderValue::from_str(&long).unwrap());
        given.insert("x-sesame-sesame", HeaderValue::from_static("1"));
        let kept = format!("{:?}", headers(&given, secrets));
        assert!(!kept.contains("hunter") && !kept.contains("esame") && kept.contains("Bearer realm"), "{kept}");
    }

    proptest! {
        #[test]
        fn whatever_comes_is_bounded_and_holds_no_known_secret(text in ".{0,9000}", json in any::<bool>()) {
            let text = format!("{text}hunter22{text}");
            let given = if json { serde_json::json!({ "id": text, "detail": text }).to_string() } else { text };
            let kept = body(&reply("application/json", given), &["hunter22"]).unwrap();
            prop_assert!(kept.len() <= BODY_BYTES_MAX && !kept.contains("hunter22"));
        }
    }
}
