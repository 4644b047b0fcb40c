//! Failures told to Sentry: one event for each request that ends in 5xx, and for each panic outside of a request.
//!
//! Events are built here, at the one place where a request ends, from what the edge knows. Neither Sentry's hooks into
//! `tracing` nor its spans are used: a line at ERROR is not a failure of its own, and spans have their own way.

mod event;
mod transport;

use std::{fmt, io, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use sentry::types::Dsn;

pub use self::transport::{SENTRY_QUEUE_MAX, SENTRY_TIMEOUT};

use self::transport::Transport;
use crate::{Settings, context::RequestContext, delivery::DeliveryStats, logs::HttpRequestEvent, panics::PanicReport};

/// Headers that say something of a failure and nothing of a person or a secret.
const SAFE_HEADERS: [HeaderName; SAFE_HEADERS_NUMBER] =
    [header::USER_AGENT, header::CONTENT_TYPE, header::CONTENT_LENGTH, header::ACCEPT];

const SAFE_HEADERS_NUMBER: usize = 4;

/// The longest value of a header that is sent on, in bytes.
const HEADER_BYTES_MAX: usize = 256;

/// Where failures go.
#[derive(Clone)]
pub struct SentrySettings {
    dsn: Dsn,
    /// Which build: Sentry groups and compares by it.
    pub release: String,
}

impl SentrySettings {
    /// Reads a `SENTRY_DSN`.
    ///
    /// # Errors
    ///
    /// What it takes, if it is none. The value is not repeated: its key is a secret.
    pub fn parse(dsn: &str, release: impl Into<String>) -> Result<Self, &'static str> {
        let takes = "a DSN such as https://KEY@sentry.example.com/1";
        let dsn = dsn.trim().parse().map_err(|_| takes)?;
        Ok(Self { dsn, release: release.into() })
    }
}

impl fmt::Debug for SentrySettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SentrySettings").field("host", &self.dsn.host()).finish_non_exhaustive()
    }
}

/// The failures of a process, on their way to Sentry. Cheap to clone.
#[derive(Clone)]
pub struct Errors(Arc<Inner>);

struct Inner {
    transport: Transport,
    release: String,
    environment: String,
    host: String,
}

impl fmt::Debug for Errors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Errors").field("host", &self.0.host).finish_non_exhaustive()
    }
}

impl fmt::Display for Errors {
    /// Where failures go.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Sentry at {} (5xx and panics)", self.0.host)
    }
}

/// Those headers of a request that an event may hold. Copying them costs a few reference counts.
#[derive(Debug, Clone, Default)]
pub struct SafeHeaders([Option<HeaderValue>; SAFE_HEADERS_NUMBER]);

impl SafeHeaders {
    /// Takes what may be taken.
    pub fn of(headers: &HeaderMap) -> Self {
        Self(SAFE_HEADERS.map(|name| headers.get(name).cloned()))
    }

    fn iter(&self) -> impl Iterator<Item = (HeaderName, &str)> {
        let values = self.0.iter().map(|value| value.as_ref()?.to_str().ok());
        SAFE_HEADERS.into_iter().zip(values).filter_map(|(name, value)| {
            let value = value?;
            Some((name, &value[..value.floor_char_boundary(HEADER_BYTES_MAX)]))
        })
    }
}

impl Errors {
    pub(crate) fn start(process: &Settings, settings: &SentrySettings) -> io::Result<Self> {
        Ok(Self(Arc::new(Inner {
            transport: Transport::start(&settings.dsn)?,
            release: settings.release.clone(),
            environment: process.environment.clone(),
            host: settings.dsn.host().to_owned(),
        })))
    }

    /// Tells of a request that ended in 5xx; of any other, only a panic that nobody was told of.
    pub fn request_ended(
        &self,
        context: &RequestContext,
        event: &HttpRequestEvent<'_>,
        panic: Option<&PanicReport>,
        headers: &SafeHeaders,
    ) {
        if event.status >= 500 || panic.is_some() {
            self.send(|| event::of_request(context, event, panic, headers));
        }
    }

    /// Tells of a panic outside of a request, or after it.
    pub(crate) fn panicked(&self, panic: &PanicReport, context: Option<&RequestContext>) {
        self.send(|| event::of_panic(panic, context));
    }

    fn send(&self, event: impl FnOnce() -> sentry::protocol::Event<'static>) {
        self.0.transport.send(|| sentry::protocol::Event {
            release: Some(self.0.release.clone().into()),
            environment: Some(self.0.environment.clone().into()),
            ..event()
        });
    }

    /// What became of the events so far.
    pub fn stats(&self) -> &Arc<DeliveryStats> {
        self.0.transport.stats()
    }

    /// Sends what waits, for at most `deadline`; returns how many events were given up. Later ones are lost.
    pub(crate) fn shutdown(&self, deadline: Duration) -> u64 {
        self.0.transport.shutdown(deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_safe_headers_are_sent() {
        let mut headers = HeaderMap::new();
        for name in SAFE_HEADERS {
            headers.insert(name, HeaderValue::from_static("x"));
        }
        for name in ["authorization", "cookie", "referer", "x-api-key"] {
            headers.insert(name, HeaderValue::from_static("secret"));
        }
        let safe = SafeHeaders::of(&headers);
        let names: Vec<HeaderName> = safe.iter().map(|(name, _)| name).collect();
        assert_eq!(names, SAFE_HEADERS);
        assert!(safe.iter().all(|(_, value)| value == "x"));
    }

    #[test]
    fn a_dsn_that_is_none_is_refused_without_being_repeated() {
        for dsn in ["", "sentry.example.com", "https://sentry.example.com/1", "https://key@host/"] {
            let refused = SentrySettings::parse(dsn, "1").err();
            assert!(refused.is_some_and(|takes| takes.contains("KEY@")), "{dsn}");
        }
        let taken = SentrySettings::parse("https://s3cr3t@sentry.example.com/1", "1");
        assert!(taken.is_ok_and(|settings| !format!("{settings:?}").contains("s3cr3t")));
    }
}
