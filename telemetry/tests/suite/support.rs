//! Outputs to catch log lines with, and the settings of a test.

use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;
use telemetry::{LogFormat, Settings, Telemetry};
use tracing::Dispatch;

pub(crate) type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Long enough that only a hang runs into it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

#[expect(clippy::disallowed_methods, reason = "a test's own thread, which no task runs on")]
pub(crate) fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

/// Seconds since 1970, to compare with what is read from the system.
#[expect(clippy::disallowed_methods, reason = "compared with the real clock")]
pub(crate) fn now_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

pub(crate) fn settings(filter: &str) -> Settings {
    Settings {
        service: "task-api",
        version: "1.2.3",
        environment: "te\"st".to_owned(),
        format: LogFormat::Json,
        filter: filter.to_owned(),
        cloudwatch: None,
        traces: None,
        sentry: None,
    }
}

pub(crate) fn start(output: &Output) -> Result<(Telemetry, Dispatch), telemetry::InitError> {
    telemetry::build(settings("trace"), Box::new(output.clone()))
}

/// Runs `emit` with JSON logs and returns the lines it caused.
pub(crate) fn lines_of(emit: impl FnOnce()) -> Result<Vec<Value>, Box<dyn std::error::Error>> {
    let output = Output::default();
    let (telemetry, dispatch) = start(&output)?;
    tracing::dispatcher::with_default(&dispatch, emit);
    let report = telemetry.shutdown(DEADLINE);
    assert!(report.complete, "{report:?}");
    output.lines()
}

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    blocked: bool,
    /// How the next writes end; when it is used up they succeed.
    script: VecDeque<Option<io::ErrorKind>>,
    writes: u64,
    /// Takes at most so many bytes a write, if set.
    step: Option<usize>,
}

/// An output in memory that can stand still, fail, or take little at a time.
#[derive(Clone, Default)]
pub(crate) struct Output(Arc<(Mutex<State>, Condvar)>);

impl Output {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn block(&self, blocked: bool) {
        self.state().blocked = blocked;
        self.0.1.notify_all();
    }

    /// Lets the next writes end with these errors, in order; `None` is a success.
    pub(crate) fn script(&self, results: impl IntoIterator<Item = Option<io::ErrorKind>>) {
        self.state().script = results.into_iter().collect();
    }

    pub(crate) fn take_at_most(&self, step: usize) {
        self.state().step = Some(step);
    }

    pub(crate) fn writes(&self) -> u64 {
        self.state().writes
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.state().bytes).into_owned()
    }

    pub(crate) fn lines(&self) -> Result<Vec<Value>, Box<dyn std::error::Error>> {
        let text = self.text();
        assert!(text.is_empty() || text.ends_with('\n'), "the last line has no end");
        text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.state();
        state.writes += 1;
        while state.blocked {
            state = self.0.1.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(Some(kind)) = state.script.pop_front() {
            return Err(kind.into());
        }
        let taken = bytes.len().min(state.step.unwrap_or(usize::MAX));
        state.bytes.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
