//! The level filter, and how it changes while the process runs.

use std::{
    error::Error,
    fmt,
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
};

use tracing_subscriber::{
    EnvFilter, Registry,
    filter::{FilterExt, LevelFilter, filter_fn},
    layer::Filter,
    reload,
};

/// The filter of the log layer.
pub(crate) type LogFilter = Box<dyn Filter<Registry> + Send + Sync>;

/// A filter that is not one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterError {
    got: String,
    part: String,
}

impl FilterError {
    /// What was given.
    pub fn got(&self) -> &str {
        &self.got
    }
}

impl fmt::Display for FilterError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "got {:?}, where {:?} is not understood; takes off, error, warn, info, debug or trace, also by target, \
             as in info,service=debug",
            self.got, self.part
        )
    }
}

impl Error for FilterError {}

/// Reads and changes the level filter of the running process.
#[derive(Debug, Clone)]
pub struct LogControl {
    handle: reload::Handle<EnvFilter, Registry>,
    text: Arc<Mutex<String>>,
}

impl LogControl {
    /// The filter in force, as it was given.
    pub fn get(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another filter in force at once.
    ///
    /// # Errors
    ///
    /// What was given and what is taken, if it is not a filter; the old one stays.
    pub fn set(&self, filter: &str) -> Result<(), String> {
        let filter = filter.trim();
        let parsed = parse(filter).map_err(|error| error.to_string())?;
        // Locked over both, so that two calls cannot leave one's text with the other's filter.
        let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        self.handle.reload(parsed).map_err(|error| error.to_string())?;
        filter.clone_into(&mut text);
        Ok(())
    }
}

/// The filter for the log layer, and its control.
pub(crate) fn filter(text: &str) -> Result<(LogFilter, LogControl), FilterError> {
    let text = text.trim();
    let (reloadable, handle) = reload::Layer::new(parse(text)?);
    // Spans are of no use to the logs; refused here they cost nothing.
    let events_only = filter_fn(|metadata| metadata.is_event());
    let control = LogControl { handle, text: Arc::new(Mutex::new(text.to_owned())) };
    Ok((Box::new(events_only.and(reloadable)), control))
}

/// Stricter than `EnvFilter`, to which `RUST_LOG=verbose` means "everything of a target called verbose, and nothing
/// else": each part is a level or `target=level`. Directives about spans could never match and are refused too.
fn parse(text: &str) -> Result<EnvFilter, FilterError> {
    let refuse = |part: &str| FilterError { got: text.to_owned(), part: part.to_owned() };
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    for part in &parts {
        let (target, level) = part.rsplit_once('=').unwrap_or(("any", *part));
        let target_fits = !target.trim().is_empty() && !target.contains(['[', ']', '=']);
        if !target_fits || LevelFilter::from_str(level.trim()).is_err() || level.trim().is_empty() {
            return Err(refuse(part));
        }
    }
    EnvFilter::try_new(parts.join(",")).map_err(|_| refuse(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn levels_and_levels_by_target_are_taken() {
        for text in ["info", "WARN", "off", "info,service=debug", "info, service::store=trace", "error,a=off,b=warn"] {
            assert!(parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_env_filter_would_misread_is_refused_by_name() {
        for text in ["", " ", "verbose", "info,", "info,service", "service=loud", "=info", "[span]=info", "a=b=info"] {
            assert!(parse(text).is_err(), "{text}");
        }
        let message = parse("info,service=loud").map(|_| ()).map_err(|error| error.to_string());
        let message = message.err().unwrap_or_default();
        for part in ["info,service=loud", "\"service=loud\"", "debug", "target"] {
            assert!(message.contains(part), "{message}");
        }
    }

    proptest! {
        #[test]
        fn no_filter_text_panics(text in any::<String>()) {
            let _ = parse(&text);
        }
    }
}
