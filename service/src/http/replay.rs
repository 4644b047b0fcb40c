//! Answers that can be given twice: rendered to bytes once, stored with an idempotency key, sent again when asked again.

use std::ops::ControlFlow;

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;

use super::json::WriteJson;
use super::problem::{Kind, Problem};
use crate::store::idempotency::{Keyed, StoredResponse};

/// Says that an answer was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// An answer with a JSON body.
pub fn rendered(status: StatusCode, body: &impl Serialize) -> StoredResponse {
    stored(status, serde_json::to_string(body).unwrap_or_default())
}

/// The same of what writes itself.
pub fn written(status: StatusCode, body: &impl WriteJson) -> StoredResponse {
    let mut text = Vec::with_capacity(body.bytes_hint());
    body.write_json(&mut text);
    // Nothing but texts and our own words is in it, so it is UTF-8.
    stored(status, String::from_utf8(text).unwrap_or_default())
}

fn stored(status: StatusCode, body: String) -> StoredResponse {
    StoredResponse { status: status.as_u16(), location: None, etag: None, body }
}

impl IntoResponse for StoredResponse {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        let mut response = (status, self.body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in [(header::LOCATION, self.location), (header::ETAG, self.etag)] {
            if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
                headers.insert(name, value);
            }
        }
        response
    }
}

/// The result of a request that was made now, or the answer that it needs instead.
pub fn fresh<T>(keyed: Keyed<T>) -> ControlFlow<Response, T> {
    match keyed {
        Keyed::Fresh(result) => ControlFlow::Continue(result),
        Keyed::Replay(stored) => {
            let mut response = stored.into_response();
            response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
            ControlFlow::Break(response)
        }
        Keyed::OtherBody => {
            let detail = "this Idempotency-Key came with another body in the last 24 hours";
            ControlFlow::Break(Problem::new(Kind::KeyReused, detail).into_response())
        }
        Keyed::Running => {
            let detail = "ask again when it has ended";
            ControlFlow::Break(Problem::new(Kind::RequestRunning, detail).retry_after(1).into_response())
        }
    }
}
