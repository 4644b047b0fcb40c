//! The canonical line: what one request was, in one event.

use std::{borrow::Cow, net::IpAddr, time::Duration};

use uuid::Uuid;

use super::decimal;
use crate::{
    catalogue::{HTTP_REQUEST, Synthetic},
    redact::redact_path,
};

/// The most characters of a path that are logged; the path is the client's to choose.
pub const PATH_CHARACTERS_MAX: usize = 512;

/// How a request ended, which its status alone does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Outcome {
    /// The whole answer was sent.
    #[default]
    Answered,
    /// Refused before its handler ran.
    Rejected,
    /// Its time was over.
    TimedOut,
    /// Its handler panicked.
    Panicked,
    /// The client left before the end of the answer.
    Abandoned,
}

impl Outcome {
    /// The value of the field.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Rejected => "rejected",
            Self::TimedOut => "timed_out",
            Self::Panicked => "panicked",
            Self::Abandoned => "abandoned",
        }
    }
}

/// One finished request. Emit it within the request's context, so that the line has its ids.
#[derive(Debug, Clone)]
pub struct HttpRequestEvent<'a> {
    /// The method as the metric has it.
    pub method: &'a str,
    /// The route's template, or `unmatched`.
    pub route: &'a str,
    /// The path without the query, which may hold what people search for; told as [`redact_path`] leaves it.
    pub path: &'a str,
    /// The final status, whoever gave it.
    pub status: u16,
    /// From arrival to the last byte of the answer; the same figure that the metric gets.
    pub duration: Duration,
    /// Time in database operations.
    pub db_time: Duration,
    /// Database operations.
    pub db_queries: u32,
    /// Who asked, if that is known.
    pub user_id: Option<Uuid>,
    /// From where, if that is known.
    pub client_address: Option<IpAddr>,
    /// Bytes of the answer's body.
    pub bytes: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// Whose it is, as far as that was believed.
    pub synthetic: Synthetic,
    /// Why it failed, where it did and that is known; redacted.
    pub cause: Option<&'a str>,
}

/// The level is part of an event's static description, hence two events of one shape.
macro_rules! emit {
    ($level:expr, $event:expr, $user_id:expr) => {
        tracing::event!(
            target: "http",
            $level,
            event = HTTP_REQUEST.name,
            method = $event.method,
            route = $event.route,
            path = &*$event.logged_path(),
            status = $event.status,
            duration_ms = milliseconds($event.duration),
            db_time_ms = milliseconds($event.db_time),
            db_queries = $event.db_queries,
            user_id = $user_id,
            client_address = $event.client_address.map(decimal::address).as_deref(),
            bytes = $event.bytes,
            outcome = $event.outcome.as_str(),
            synthetic = $event.synthetic.known(),
            cause = $event.cause,
            "request"
        )
    };
}

impl HttpRequestEvent<'_> {
    /// Writes the line: at ERROR for a status of 500 or above and where there is a cause, else at INFO.
    pub fn emit(&self) {
        let mut buffer = Uuid::encode_buffer();
        let user_id = self.user_id.map(|id| &*id.hyphenated().encode_lower(&mut buffer));
        if self.status >= 500 || self.cause.is_some() {
            emit!(tracing::Level::ERROR, self, user_id);
        } else {
            emit!(tracing::Level::INFO, self, user_id);
        }
    }

    /// The path as it is told: without what may be secret, then cut, so that no token is cut to what is not known as one.
    pub(crate) fn logged_path(&self) -> Cow<'_, str> {
        match redact_path(self.path, self.route) {
            Cow::Borrowed(path) => Cow::Borrowed(cut_path(path)),
            Cow::Owned(path) => Cow::Owned(cut_path(&path).to_owned()),
        }
    }
}

/// Milliseconds to the microsecond: more digits would be noise of the division.
fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

fn cut_path(path: &str) -> &str {
    // A character has one byte at least.
    let is_short = path.len() <= PATH_CHARACTERS_MAX;
    let end = if is_short { None } else { path.char_indices().nth(PATH_CHARACTERS_MAX) };
    end.map_or(path, |(end, _)| &path[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_path_is_cut_at_512_characters(path in "\\PC{0,600}") {
            let kept = cut_path(&path);
            prop_assert_eq!(kept.chars().count(), path.chars().count().min(PATH_CHARACTERS_MAX));
            prop_assert!(path.starts_with(kept));
        }
    }
}
