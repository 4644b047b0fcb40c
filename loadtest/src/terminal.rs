//! What a person sees while a command runs, on standard error; and when they want it to end.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::drive::Progress;
use crate::verdict::millis;

/// Where nobody watches, a line every so many seconds is enough.
const QUIET_SECONDS: u64 = 10;

/// Lines of progress: one that changes on a terminal, a few in a log.
pub struct Terminal {
    live: bool,
    last: Option<u64>,
    width: usize,
}

impl Default for Terminal {
    fn default() -> Self {
        Self { live: io::stderr().is_terminal(), last: None, width: 0 }
    }
}

impl Terminal {
    /// Says something that stays.
    pub fn say(&mut self, text: &str) {
        self.wipe();
        let _ = writeln!(io::stderr(), "{text}"); // nobody left to tell
    }

    /// Says something that the next one overwrites; nothing where nobody watches.
    pub fn status(&mut self, text: &str) {
        if self.live {
            let _ = write!(io::stderr(), "\r{text:<width$}", width = self.width);
            let _ = io::stderr().flush();
            self.width = text.chars().count();
        }
    }

    fn wipe(&mut self) {
        if self.width > 0 {
            let _ = write!(io::stderr(), "\r{:width$}\r", "", width = self.width);
            self.width = 0;
        }
    }

    /// Says how a drive goes.
    pub fn progress(&mut self, progress: &Progress, warm_up: Duration) {
        let second = progress.elapsed.as_secs();
        if !self.live && self.last.is_some_and(|last| second < last + QUIET_SECONDS) {
            return;
        }
        self.last = Some(second);
        let (busy, waiting) = progress.under_way;
        let state = match &progress.point {
            None if progress.elapsed < warm_up => "warm-up".to_owned(),
            None => "nothing measured yet".to_owned(),
            Some(point) => format!(
                "due {}/s, p50 {}, p99 {}, failed {}",
                point.due,
                millis(point.p50),
                millis(point.p99),
                point.failed
            ),
        };
        let text = format!("{second:>5} s  {state}, under way {busy}, waiting {waiting}");
        if self.live { self.status(&text) } else { self.say(&text) }
    }
}

/// Becomes true at the first Ctrl-C or SIGTERM: the command ends tidily. At the second one it ends at once, and leaves the
/// note for `loadtest clean`.
///
/// # Errors
/// When the system takes no handler.
pub fn stop() -> Result<(watch::Receiver<bool>, watch::Receiver<bool>), String> {
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| format!("no handler for SIGTERM: {error}"))?;
    let ((first, stop), (second, abort)) = (watch::channel(false), watch::channel(false));
    // Through the crate that goose uses, which takes one handler: goose's own would end the process with the code of a FAIL.
    let (pressed, mut interrupt) = mpsc::channel(2); // the third one changes nothing
    ctrlc::set_handler(move || {
        let _ = pressed.try_send(());
    })
    .map_err(|error| format!("no handler for Ctrl-C: {error}"))?;
    tokio::spawn(async move {
        for (number, sender) in [first, second].into_iter().enumerate() {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if number == 0 {
                let _ = writeln!(io::stderr(), "\nstopping: report and clean-up; once more to leave at once");
            }
            let _ = sender.send(true);
            std::mem::forget(sender); // a receiver must not take the end of this task for an answer
        }
    });
    Ok((stop, abort))
}
