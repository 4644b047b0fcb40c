//! Query parameters. An unknown one is refused: a misspelt filter must not silently return everything.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Query};
use http::request::Parts;
use uuid::Uuid;

use super::cursor::Scope;
use super::problem::Problem;
use super::validate;
use crate::app::AppState;
use crate::percent;

/// The parameters of a request, each at most once.
#[derive(Debug, Clone, Default)]
pub struct Parameters(Vec<(String, String)>);

/// Rows of a page when the request names no number.
pub const LIMIT_DEFAULT: usize = 50;
/// Rows of a page at most.
pub const LIMIT_MAX: usize = 200;

impl FromRequestParts<Arc<AppState>> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<AppState>) -> Result<Self, Problem> {
        // The decoder puts U+FFFD for what is not UTF-8, and leaves a percent sign that encodes nothing.
        let query = parts.uri.query().unwrap_or_default();
        if query.contains('%') && percent::decoded(query).is_none() {
            return Err(Problem::invalid_parameter("?", "takes percent-encoded UTF-8"));
        }
        let query = Query::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let Query(pairs) = query.map_err(|_| Problem::invalid_parameter("?", "takes name=value pairs"))?;
        for (at, (name, value)) in pairs.iter().enumerate() {
            if pairs[..at].iter().any(|(other, _)| other == name) {
                return Err(Problem::invalid_parameter(name, "takes one value"));
            }
            if value.contains('\0') {
                return Err(Problem::invalid_parameter(name, "takes no NUL"));
            }
        }
        Ok(Parameters(pairs))
    }
}

impl Parameters {
    /// Refuses every parameter that is not one of `known`.
    pub fn expect(&self, known: &[&str]) -> Result<(), Problem> {
        match self.0.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            Some((name, _)) => {
                let name: String = name.chars().take(50).collect();
                Err(Problem::invalid_parameter(&name, format!("is not known here; known are {}", known.join(", "))))
            }
            None => Ok(()),
        }
    }

    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// A parameter that is a UUID.
    pub fn id(&self, name: &str) -> Result<Option<Uuid>, Problem> {
        let id = |text| validate::id(text).ok_or_else(|| Problem::invalid_parameter(name, "takes a UUID"));
        self.get(name).map(id).transpose()
    }

    /// A parameter that is a time.
    pub fn instant(&self, name: &str) -> Result<Option<jiff::Timestamp>, Problem> {
        let instant = |text| validate::instant(text).ok_or_else(|| Problem::invalid_parameter(name, validate::INSTANT));
        self.get(name).map(instant).transpose()
    }

    /// A parameter that is one of a closed set of words.
    pub fn word<T: std::str::FromStr>(&self, name: &str, words: &[&str]) -> Result<Option<T>, Problem> {
        let takes = || Problem::invalid_parameter(name, format!("takes one of {}", words.join(", ")));
        self.get(name).map(|text| text.parse().map_err(|_| takes())).transpose()
    }

    /// `limit`: rows of a page.
    pub fn limit(&self) -> Result<usize, Problem> {
        let Some(text) = self.get("limit") else { return Ok(LIMIT_DEFAULT) };
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(limit) if plain && (1..=LIMIT_MAX).contains(&limit) => Ok(limit),
            _ => Err(Problem::invalid_parameter("limit", format!("takes a whole number from 1 to {LIMIT_MAX}"))),
        }
    }

    /// What a cursor of this list is bound to: the caller, the list and all parameters but the cursor and the limit.
    pub fn scope(&self, user_id: Uuid, list: &str) -> Scope {
        let mut bound: Vec<String> = self
            .0
            .iter()
            .filter(|(name, _)| name != "cursor" && name != "limit")
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        bound.sort();
        Scope::new(user_id, list, &bound.join("&"))
    }

    /// The same query with another cursor, percent-encoded: for `Link`.
    pub fn with_cursor(&self, cursor: &str) -> String {
        let encoded = |text: &str| -> String {
            text.bytes()
                .map(|byte| match byte {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
                    _ => format!("%{byte:02X}"),
                })
                .collect()
        };
        let kept = self.0.iter().filter(|(name, _)| name != "cursor");
        let mut pairs: Vec<String> =
            kept.map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        pairs.push(format!("cursor={cursor}"));
        pairs.join("&")
    }
}
