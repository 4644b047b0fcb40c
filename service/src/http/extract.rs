//! What handlers take from a request: the caller, the body, an id in the path, the idempotency key.

use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::Serialize;
use serde::de::DeserializeOwned;
use telemetry::context::RequestContext;
use telemetry::metrics::Rejection;
use uuid::Uuid;

use super::object::Object;
use super::problem::{FieldError, Kind, Problem};
use super::validate;
use crate::app::AppState;
use crate::auth::keys::fingerprint;
use crate::auth::tokens::{self, Principal};
use crate::store::idempotency::Claim;

/// Longest body that is read, in bytes.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// The caller, known by a bearer token. Refuses with 401, and with 429 over the caller's rate.
#[derive(Debug, Clone, Copy)]
pub struct Caller(pub Principal);

impl FromRequestParts<Arc<AppState>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<AppState>) -> Result<Self, Problem> {
        let token = bearer(&parts.headers).ok_or_else(unauthenticated)?;
        let now = state.clock.now();
        let hash = tokens::hash(token);
        let principal = match state.tokens.remembered(&hash, now) {
            Some(principal) => principal,
            None => {
                let principal = state.tokens.verify(token, now).ok_or_else(unauthenticated)?;
                let look = state.tokens.begin_look();
                if !state.db.session_is_alive(principal.session_id, principal.user_id, now).await? {
                    return Err(unauthenticated());
                }
                state.tokens.remember(hash, principal, now, look);
                principal
            }
        };
        RequestContext::with_current(|context| context.set_user(principal.user_id));
        state.principal_rate.check(principal.user_id.as_u128(), now, &state.metrics)?;
        Ok(Caller(principal))
    }
}

/// The token of an `Authorization: Bearer` header.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

fn unauthenticated() -> Problem {
    Problem::new(Kind::Unauthenticated, "send a good access token as Authorization: Bearer")
}

/// An id in the path. Text that is no UUID names nothing: 404.
#[derive(Debug, Clone, Copy)]
pub struct PathId(pub Uuid);

impl FromRequestParts<Arc<AppState>> for PathId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<AppState>) -> Result<Self, Problem> {
        let Path(text) =
            Path::<String>::from_request_parts(parts, state).await.map_err(|_| Problem::not_found("id"))?;
        validate::id(&text).map(PathId).ok_or_else(|| Problem::not_found("id"))
    }
}

/// Two ids in the path.
#[derive(Debug, Clone, Copy)]
pub struct PathIds(pub Uuid, pub Uuid);

impl FromRequestParts<Arc<AppState>> for PathIds {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<AppState>) -> Result<Self, Problem> {
        let path = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Path((first, second)) = path.map_err(|_| Problem::not_found("id"))?;
        match (validate::id(&first), validate::id(&second)) {
            (Some(first), Some(second)) => Ok(PathIds(first, second)),
            _ => Err(Problem::not_found("id")),
        }
    }
}

/// A JSON body of type `T`, `application/json` or, for patches, `application/merge-patch+json`.
#[derive(Debug, Clone)]
pub struct Body<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Arc<AppState>> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &Arc<AppState>) -> Result<Self, Problem> {
        if !is_json(request.headers().get(header::CONTENT_TYPE)) {
            return Err(Problem::new(Kind::UnsupportedMediaType, "send application/json"));
        }
        let bytes = read(request, state).await?;
        parse(&bytes).map(|Object(body)| Body(body))
    }
}

/// A JSON body that may be left out, or be null.
#[derive(Debug, Clone)]
pub struct OptionalBody<T>(pub Option<T>);

impl<T: DeserializeOwned> FromRequest<Arc<AppState>> for OptionalBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &Arc<AppState>) -> Result<Self, Problem> {
        let content_type = request.headers().get(header::CONTENT_TYPE).cloned();
        let bytes = read(request, state).await?;
        if bytes.is_empty() || bytes.trim_ascii() == b"null" {
            return Ok(OptionalBody(None));
        }
        if !is_json(content_type.as_ref()) {
            return Err(Problem::new(Kind::UnsupportedMediaType, "send application/json"));
        }
        parse(&bytes).map(|body| OptionalBody(Some(body)))
    }
}

fn is_json(content_type: Option<&HeaderValue>) -> bool {
    let Some(value) = content_type.and_then(|value| value.to_str().ok()) else { return false };
    let essence = value.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json") || essence.eq_ignore_ascii_case("application/merge-patch+json")
}

async fn read(request: Request, state: &Arc<AppState>) -> Result<axum::body::Bytes, Problem> {
    let too_large = || {
        state.metrics.rejected(Rejection::BodyTooLarge);
        Problem::new(Kind::BodyTooLarge, format!("a body takes up to {BODY_BYTES_MAX} bytes"))
    };
    let announced = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: usize| length > BODY_BYTES_MAX) {
        return Err(too_large());
    }
    match Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(_) => Err(Problem::new(Kind::MalformedRequest, "the body ended early")),
    }
}

/// Parses a JSON object. The second parse, which finds out the field, runs only when the first one failed.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let first = match serde_json::from_slice::<Object<T>>(bytes) {
        Ok(Object(body)) => return Ok(body),
        Err(error) => error,
    };
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let Err(error) = serde_path_to_error::deserialize::<_, Object<T>>(&mut deserializer) else {
        return Err(Problem::new(Kind::MalformedRequest, format!("not JSON: {}", explained(&first))));
    };
    // What serde calls an error of syntax may be one of the data: `{"role": null}` is JSON, and null is no role. And the other
    // way round: `"x"]` is no JSON, though its first value is what was wrong.
    let unreadable = serde_json::from_slice::<serde_json::Value>(bytes).err();
    let (kind, detail) = match unreadable {
        None => (Kind::InvalidBody, "1 field cannot be used"),
        Some(syntax) if first.is_data() => {
            return Err(Problem::new(Kind::MalformedRequest, format!("not JSON: {}", explained(&syntax))));
        }
        Some(_) => (Kind::MalformedRequest, "the body is not JSON"),
    };
    let mut pointer = pointer(error.path());
    if let Some(field) = field_of(error.inner()) {
        pointer = format!("{pointer}/{field}");
    }
    Err(Problem::new(kind, detail).with_errors(vec![FieldError::new(pointer, explained(error.inner()))]))
}

/// What serde says, without the values it quotes: they may be somebody's text.
fn explained(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let Some(rest) = text.strip_prefix("invalid type: ").or_else(|| text.strip_prefix("invalid value: ")) else {
        return match text.strip_prefix("unknown variant `") {
            Some(rest) => rest.split_once("`, ").map_or("unknown word".into(), |(_, expected)| expected.to_owned()),
            None => text,
        };
    };
    match rest.rsplit_once("expected ") {
        Some((_, expected)) => format!("expected {expected}"),
        None => "the value has the wrong type".into(),
    }
}

/// The field that an object lacks or has twice: the path leads to the object.
fn field_of(error: &serde_json::Error) -> Option<String> {
    let text = error.to_string();
    let rest = text.strip_prefix("missing field `").or_else(|| text.strip_prefix("duplicate field `"))?;
    Some(rest.split_once('`')?.0.to_owned())
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter()
        .map(|segment| match segment {
            Segment::Seq { index } => format!("/{index}"),
            Segment::Map { key } => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
            Segment::Enum { variant } => format!("/{variant}"),
            Segment::Unknown => "/?".into(),
        })
        .collect()
}

/// The `Idempotency-Key` of a request, if it has one.
#[derive(Debug, Clone)]
pub struct IdempotencyKey(pub Option<String>);

impl FromRequestParts<Arc<AppState>> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<AppState>) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get("idempotency-key") else { return Ok(IdempotencyKey(None)) };
        let key =
            value.to_str().ok().filter(|key| (1..=255).contains(&key.len()) && key.bytes().all(|byte| byte > b' '));
        match key {
            Some(key) => Ok(IdempotencyKey(Some(key.to_owned()))),
            None => Err(Problem::invalid_parameter("Idempotency-Key", "takes 1 to 255 visible ASCII characters")),
        }
    }
}

impl IdempotencyKey {
    /// The claim of a request on this route with this body.
    pub fn claim(self, caller: &Caller, route: &'static str, body: &impl Serialize, state: &AppState) -> Option<Claim> {
        let key = self.0?;
        let canonical = serde_json::to_value(body).and_then(|value| serde_json::to_vec(&value)).unwrap_or_default();
        let fingerprint = fingerprint(&canonical);
        Some(Claim { user_id: caller.0.user_id, route, key, fingerprint, now: state.clock.now() })
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Inner {
        #[expect(dead_code, reason = "only its type is looked at")]
        count: u8,
    }

    #[derive(Debug, Deserialize)]
    struct Outer {
        #[expect(dead_code, reason = "only its type is looked at")]
        inner: Object<Inner>,
    }

    #[test]
    fn what_is_wrong_with_a_body_is_said_in_terms_of_json() {
        for (body, pointer, detail) in [
            ("[1]", "", "expected an object"),
            ("null", "", "expected an object"),
            (r#"{"inner": "secret"}"#, "/inner", "expected an object"),
            (r#"{"inner": {"count": "secret"}}"#, "/inner/count", "expected u8"),
        ] {
            let problem = parse::<Object<Outer>>(body.as_bytes()).unwrap_err().body();
            assert_eq!((problem.status, problem.errors.len()), (422, 1), "{body}");
            let error = &problem.errors[0];
            assert_eq!(error.pointer, pointer, "{body}");
            assert!(error.detail.starts_with(detail), "{body}: {}", error.detail);
            assert!(
                !["struct", "Inner", "Outer", "secret"].iter().any(|word| error.detail.contains(word)),
                "{error:?}"
            );
        }
    }
}
