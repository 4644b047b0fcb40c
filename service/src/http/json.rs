//! JSON answers, written into memory of about their size.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, header};
use serde::Serialize;

use super::problem::Problem;

/// A body up to about this size is written without moving it to larger memory: a task with a short description.
const BODY_BYTES: usize = 1024;
/// Room for the headers that the edge adds.
const HEADERS: usize = 12;

/// Answers with `T` as `application/json`. axum's own `Json` begins with 128 bytes and writes through `BytesMut`, where each comma
/// and quote is a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        let mut body = Vec::with_capacity(BODY_BYTES);
        match serde_json::to_writer(&mut body, &self.0) {
            Ok(()) => answer(body),
            Err(_) => Problem::internal().because("an answer could not be written as JSON").into_response(),
        }
    }
}

/// What writes itself as JSON; what it writes is what `serde_json` would.
pub trait WriteJson {
    /// About how long that is, in bytes.
    fn bytes_hint(&self) -> usize;

    /// Appends it.
    fn write_json(&self, out: &mut Vec<u8>);
}

/// Answers with `T` as `application/json`, as [`Json`] does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrittenJson<T>(pub T);

impl<T: WriteJson> IntoResponse for WrittenJson<T> {
    fn into_response(self) -> Response {
        let mut body = Vec::with_capacity(self.0.bytes_hint());
        self.0.write_json(&mut body);
        answer(body)
    }
}

fn answer(body: Vec<u8>) -> Response {
    let mut headers = HeaderMap::with_capacity(HEADERS);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let mut response = Response::new(body.into());
    *response.headers_mut() = headers;
    response
}
