//! An answer, and what tests assert of it. A failed assertion prints the whole exchange.

use std::fmt;

use reqwest::header::HeaderMap;
use reqwest::{Request, Response};
use serde_json::Value;

/// An answer with the request that it answers.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body when it is JSON, else null.
    pub body: Value,
    /// The body as it came.
    pub text: String,
    asked: String,
}

impl Reply {
    /// Asserts the status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert!(self.status == status, "expected {status}\n{self}");
        self
    }

    /// Asserts a problem document (RFC 9457) of this status, whose `type` ends in `suffix` and whose identifiers are
    /// those of the answer's headers.
    #[track_caller]
    pub fn problem(self, status: u16, suffix: &str) -> Self {
        let reply = self.expect(status);
        assert!(reply.header("content-type") == "application/problem+json", "not a problem document\n{reply}");
        for member in ["/type", "/title", "/detail", "/request_id", "/trace_id"] {
            assert!(!reply.text_at(member).is_empty(), "{member} is empty\n{reply}");
        }
        assert!(reply.text_at("/type").ends_with(suffix), "expected a type that ends in {suffix:?}\n{reply}");
        assert!(reply.at("/status") == status, "status and body differ\n{reply}");
        assert!(reply.text_at("/request_id") == reply.header("x-request-id"), "request ids differ\n{reply}");
        let traceparent = reply.header("traceparent");
        assert!(traceparent.split('-').nth(1) == reply.at("/trace_id").as_str(), "trace ids differ\n{reply}");
        reply
    }

    /// Asserts that the problem names this field, with a detail.
    #[track_caller]
    pub fn pointer(self, pointer: &str) -> Self {
        let errors = self.at("/errors").as_array().cloned().unwrap_or_default();
        let found = errors.iter().any(|error| {
            error["pointer"] == pointer && error["detail"].as_str().is_some_and(|detail| !detail.is_empty())
        });
        assert!(found, "errors[] does not name {pointer}\n{self}");
        self
    }

    /// The value at a JSON pointer of the body.
    #[track_caller]
    pub fn at(&self, pointer: &str) -> &Value {
        self.body.pointer(pointer).unwrap_or_else(|| panic!("the body has no {pointer}\n{self}"))
    }

    /// The string at a JSON pointer of the body.
    #[track_caller]
    pub fn text_at(&self, pointer: &str) -> String {
        self.at(pointer).as_str().unwrap_or_else(|| panic!("{pointer} is not a string\n{self}")).to_owned()
    }

    /// A header that must be there.
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).unwrap_or_else(|| panic!("no header {name}\n{self}"));
        value.to_str().unwrap_or_else(|_| panic!("header {name} is not text\n{self}"))
    }

    /// Request line, headers and body, for the message of a failure.
    pub(super) fn describe(request: &Request) -> String {
        let body = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default();
        let mut text = format!("> {} {}\n", request.method(), request.url());
        push_headers(&mut text, '>', request.headers());
        text.push_str(&String::from_utf8_lossy(body));
        text
    }

    pub(super) async fn read(asked: String, response: Response) -> reqwest::Result<Self> {
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or_default();
        Ok(Self { status, headers, body, text, asked })
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut headers = String::new();
        push_headers(&mut headers, '<', &self.headers);
        write!(formatter, "{}\n< {}\n{headers}{}", self.asked, self.status, self.text)
    }
}

fn push_headers(text: &mut String, arrow: char, headers: &HeaderMap) {
    for (name, value) in headers {
        text.push_str(&format!("{arrow} {name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
    }
}
