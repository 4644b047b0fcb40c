//! The panic hook: a panic is one line with its place and the ids of its request, and reaches Sentry once.
//!
//! The standard hook prints the panic's message, which may quote anything, to standard error, where no query finds it.

use std::{
    any::Any,
    fmt,
    panic::{self, PanicHookInfo},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use sentry::protocol::Stacktrace;

use crate::{catalogue::PANICKED, context::RequestContext, errors::Errors, redact::redact};

/// The most stack traces that are taken within [`STACKS_INTERVAL`]: one takes milliseconds, and a route that always panics
/// must not take the process with it.
pub const STACKS_MAX: u32 = 10;

/// See [`STACKS_MAX`].
pub const STACKS_INTERVAL: Duration = Duration::from_secs(10);

/// One panic.
#[derive(Debug, Clone)]
pub struct PanicReport {
    /// File, line and column.
    pub location: String,
    /// Its message, redacted.
    pub message: String,
    pub(crate) stack: Option<Stacktrace>,
}

impl fmt::Display for PanicReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "panicked at {}: {}", self.location, self.message)
    }
}

/// The place for the panic of a request in its context: whoever accounts for the request takes it along.
#[derive(Debug, Default)]
pub(crate) struct PanicSlot {
    panic: Mutex<Option<PanicReport>>,
    /// The request has been accounted for.
    closed: AtomicBool,
}

impl PanicSlot {
    /// Keeps the first panic; gives it back if nobody will come for it.
    fn put(&self, panic: PanicReport) -> Option<PanicReport> {
        let mut place = self.panic.lock().unwrap_or_else(PoisonError::into_inner);
        if self.closed.load(Relaxed) {
            return Some(panic);
        }
        place.get_or_insert(panic);
        None
    }

    /// Takes it; later ones are given back.
    pub(crate) fn take(&self) -> Option<PanicReport> {
        let mut place = self.panic.lock().unwrap_or_else(PoisonError::into_inner);
        self.closed.store(true, Relaxed);
        place.take()
    }
}

/// Replaces the process's panic hook: from now on a panic is one line of the log and nothing on standard error.
pub fn install(errors: Option<Errors>) {
    let stacks = Stacks::default();
    panic::set_hook(Box::new(move |info| {
        let mut report = report(info);
        if errors.is_some() && stacks.one_more() {
            report.stack = sentry::integrations::backtrace::current_stacktrace();
        }
        let (location, message) = (report.location.clone(), report.message.clone());
        let context = RequestContext::current();
        // What a request's account takes along is told of there, once: in its line at ERROR and in its event.
        let alone = match &context {
            Some(context) => context.panic.put(report),
            None => Some(report),
        };
        match &alone {
            Some(_) => log!(tracing::Level::ERROR, location, message),
            None => log!(tracing::Level::WARN, location, message),
        }
        if let (Some(errors), Some(report)) = (&errors, &alone) {
            errors.panicked(report, context.as_deref());
        }
    }));
}

/// The level is part of an event's static description, hence a macro.
macro_rules! log {
    ($level:expr, $location:expr, $message:expr) => {
        tracing::event!(
            target: "panic",
            $level,
            event = PANICKED.name,
            location = $location,
            panic = $message,
            thread = thread::current().name().unwrap_or("unnamed"),
            "a panic"
        )
    };
}
use log;

fn report(info: &PanicHookInfo<'_>) -> PanicReport {
    let location = info.location().map_or_else(|| "unknown".to_owned(), ToString::to_string);
    PanicReport { location, message: redact(message(info.payload())), stack: None }
}

fn message(payload: &dyn Any) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("a value that is no text")
}

/// Counts stack traces within an interval.
#[derive(Default)]
struct Stacks {
    taken: AtomicU32,
    since: Mutex<Option<Instant>>,
}

impl Stacks {
    fn one_more(&self) -> bool {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        if since.is_none_or(|since| since.elapsed() >= STACKS_INTERVAL) {
            *since = Some(Instant::now());
            self.taken.store(0, Relaxed);
        }
        self.taken.fetch_add(1, Relaxed) < STACKS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn panic_at(location: &str) -> PanicReport {
        PanicReport { location: location.to_owned(), message: String::new(), stack: None }
    }

    #[test]
    fn the_first_panic_of_a_request_goes_with_it_and_one_after_its_end_goes_alone() {
        let slot = PanicSlot::default();
        assert!(slot.put(panic_at("a")).is_none());
        assert!(slot.put(panic_at("b")).is_none());
        assert_eq!(slot.take().map(|panic| panic.location).as_deref(), Some("a"));
        assert_eq!(slot.put(panic_at("c")).map(|panic| panic.location).as_deref(), Some("c"));
        assert!(slot.take().is_none());
    }

    #[test]
    fn of_a_storm_of_panics_the_first_ten_have_their_stack() {
        let stacks = Stacks::default();
        assert_eq!((0..100).filter(|_| stacks.one_more()).count(), 10);
    }

    #[test]
    fn the_message_of_a_panic_is_redacted_and_any_payload_is_one() {
        assert_eq!(redact(message(&"token=abc".to_owned())), "token=[redacted]");
        assert_eq!(message(&"text"), "text");
        assert_eq!(message(&7), "a value that is no text");
    }
}
