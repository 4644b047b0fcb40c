//! Errors as the client sees them: RFC 9457 problem details, one type for each kind of failure.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use telemetry::context::RequestContext;
use utoipa::ToSchema;

use crate::store::StoreError;

/// A field of the request that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) into the body, or the name of a query parameter or header behind a `/`.
    #[schema(example = "/title")]
    pub pointer: String,
    /// What it takes.
    #[schema(example = "takes 1 to 200 characters")]
    pub detail: String,
}

impl FieldError {
    /// Names a field and what it takes.
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> FieldError {
        FieldError { pointer: pointer.into(), detail: detail.into() }
    }
}

/// The body of every error (RFC 9457).
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Problem, example = json!({
    "type": "urn:task-api:problem:invalid-body", "title": "The body cannot be used", "status": 422,
    "detail": "1 field cannot be used", "request_id": "0197c3a5-6f2e-7cc0-9b1e-2f6d3c1a5b77",
    "trace_id": "6920f3a8c1d24e5f8a9b0c1d2e3f4a5b", "errors": [{"pointer": "/title", "detail": "takes 1 to 200 characters"}]
}))]
pub struct ProblemBody {
    /// Names the kind of problem; compare this, not the texts.
    #[schema(pattern = "^urn:task-api:problem:[a-z-]+$")]
    pub r#type: String,
    /// The kind in words, always the same.
    pub title: &'static str,
    /// The status of the response.
    #[schema(minimum = 400, maximum = 599)]
    pub status: u16,
    /// This occurrence in words.
    pub detail: Cow<'static, str>,
    /// What to quote when asking about it.
    pub request_id: String,
    /// The trace that it is part of.
    pub trace_id: String,
    /// The fields at fault, if any are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $variant:ident = ($status:ident, $slug:literal, $title:literal),)+) => {
        /// The kinds of problem: a closed set.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Kind { $($(#[doc = $doc])+ $variant,)+ }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Kind] = &[$(Kind::$variant,)+];

            /// Its status.
            pub fn status(self) -> StatusCode {
                match self { $(Kind::$variant => StatusCode::$status,)+ }
            }

            /// The last part of its `type`.
            pub fn slug(self) -> &'static str {
                match self { $(Kind::$variant => $slug,)+ }
            }

            /// Its `title`.
            pub fn title(self) -> &'static str {
                match self { $(Kind::$variant => $title,)+ }
            }
        }
    };
}

kinds! {
    /// The request could not be parsed.
    MalformedRequest = (BAD_REQUEST, "malformed-request", "The request is malformed"),
    /// A query parameter or header cannot be used.
    InvalidParameter = (BAD_REQUEST, "invalid-parameter", "A parameter cannot be used"),
    /// The cursor is not one of ours, or belongs to another list.
    InvalidCursor = (BAD_REQUEST, "invalid-cursor", "The cursor cannot be used"),
    /// The combination of filter and sort has no index.
    UnsupportedQuery = (BAD_REQUEST, "unsupported-query", "This filter and sort are not served together"),
    /// No token, or one that is not good.
    Unauthenticated = (UNAUTHORIZED, "unauthenticated", "Authentication is required"),
    /// E-mail and password do not belong together.
    InvalidCredentials = (UNAUTHORIZED, "invalid-credentials", "E-mail or password is wrong"),
    /// The refresh token is not good.
    InvalidRefreshToken = (UNAUTHORIZED, "invalid-refresh-token", "The refresh token cannot be used"),
    /// Visible, but not allowed.
    Forbidden = (FORBIDDEN, "forbidden", "Your role does not allow this"),
    /// Unknown, or not visible.
    NotFound = (NOT_FOUND, "not-found", "There is no such thing"),
    /// The path is known, the method is not.
    MethodNotAllowed = (METHOD_NOT_ALLOWED, "method-not-allowed", "The method is not allowed here"),
    /// The thing stands in another state than the request needs.
    Conflict = (CONFLICT, "conflict", "The request conflicts with what is there"),
    /// The first request with this key still runs.
    RequestRunning = (CONFLICT, "request-running", "A request with this Idempotency-Key is still running"),
    /// `If-Match` names another version.
    PreconditionFailed = (PRECONDITION_FAILED, "precondition-failed", "The task has changed since"),
    /// The body is too long.
    BodyTooLarge = (PAYLOAD_TOO_LARGE, "body-too-large", "The body is too large"),
    /// The URI is too long.
    UriTooLong = (URI_TOO_LONG, "uri-too-long", "The URI is too long"),
    /// Not JSON.
    UnsupportedMediaType = (UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "The body is of an unsupported type"),
    /// The body is JSON but cannot be used.
    InvalidBody = (UNPROCESSABLE_ENTITY, "invalid-body", "The body cannot be used"),
    /// The key was used with another body.
    KeyReused = (UNPROCESSABLE_ENTITY, "idempotency-key-reused", "The Idempotency-Key belongs to another request"),
    /// Too many requests.
    RateLimited = (TOO_MANY_REQUESTS, "rate-limited", "Too many requests"),
    /// A defect of ours.
    Internal = (INTERNAL_SERVER_ERROR, "internal", "Something went wrong on our side"),
    /// More than can be handled now.
    Overloaded = (SERVICE_UNAVAILABLE, "overloaded", "The service is busy"),
    /// The database cannot be reached or is busy.
    DatabaseUnavailable = (SERVICE_UNAVAILABLE, "database-unavailable", "The database is unavailable"),
    /// The request took too long.
    Timeout = (SERVICE_UNAVAILABLE, "timeout", "The request took too long"),
    /// Not ready to serve.
    NotReady = (SERVICE_UNAVAILABLE, "not-ready", "The service is not ready"),
}

/// An error on its way to the client.
#[derive(Debug)]
pub struct Problem(Box<Content>);

#[derive(Debug)]
struct Content {
    kind: Kind,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    retry_after: Option<u32>,
    cause: Option<String>,
}

/// What went wrong inside, for the log and never for the client. Travels with the response to the edge.
#[derive(Debug, Clone)]
pub struct Cause(pub String);

impl Problem {
    /// A problem of this kind; the detail is for people.
    pub fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem(Box::new(Content { kind, detail: detail.into(), errors: Vec::new(), retry_after: None, cause: None }))
    }

    /// A body whose fields cannot be used.
    pub fn invalid_body(errors: Vec<FieldError>) -> Problem {
        let detail = match errors.len() {
            1 => "1 field cannot be used".into(),
            count => Cow::from(format!("{count} fields cannot be used")),
        };
        Problem::new(Kind::InvalidBody, detail).with_errors(errors)
    }

    /// A query parameter that cannot be used.
    pub fn invalid_parameter(name: &str, takes: impl Into<String>) -> Problem {
        Problem::new(Kind::InvalidParameter, format!("the parameter {name} cannot be used"))
            .with_errors(vec![FieldError::new(format!("/{name}"), takes)])
    }

    /// Unknown or invisible: the same answer, so that nobody learns which.
    pub fn not_found(what: &'static str) -> Problem {
        Problem::new(Kind::NotFound, format!("there is no such {what}, or you may not see it"))
    }

    /// Names the fields at fault.
    pub fn with_errors(mut self, errors: Vec<FieldError>) -> Problem {
        self.0.errors = errors;
        self
    }

    /// Asks the client to come back after so many seconds.
    pub fn retry_after(mut self, seconds: u32) -> Problem {
        self.0.retry_after = Some(seconds);
        self
    }

    /// Keeps the reason for the log.
    pub fn because(mut self, cause: impl Into<String>) -> Problem {
        self.0.cause = Some(cause.into());
        self
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The body, with the ids of the current request.
    pub fn body(&self) -> ProblemBody {
        let (request_id, trace_id) =
            RequestContext::with_current(|context| (context.request_id.to_string(), context.trace.trace_id_hex()))
                .unwrap_or_default();
        ProblemBody {
            r#type: format!("urn:task-api:problem:{}", self.0.kind.slug()),
            title: self.0.kind.title(),
            status: self.0.kind.status().as_u16(),
            detail: self.0.detail.clone(),
            request_id,
            trace_id,
            errors: self.0.errors.clone(),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let cause = error.to_string();
        let problem = match error {
            StoreError::Internal(_) => Problem::internal(),
            StoreError::PoolTimeout => Problem::new(Kind::DatabaseUnavailable, "the database is busy").retry_after(1),
            StoreError::Unavailable(_) | StoreError::Timeout | StoreError::Conflict => {
                Problem::new(Kind::DatabaseUnavailable, "the database cannot answer now").retry_after(1)
            }
        };
        problem.because(cause)
    }
}

impl Problem {
    /// A defect of ours. The client learns the request's id and nothing else.
    pub fn internal() -> Problem {
        Problem::new(Kind::Internal, "the request failed; its id tells us more")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self.body()).unwrap_or_default();
        let mut response = (self.0.kind.status(), body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.0.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.0.kind.status() == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(cause) = self.0.cause {
            response.extensions_mut().insert(Cause(cause));
        }
        response
    }
}
