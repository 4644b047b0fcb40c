//! The log events: those lines whose `event` field is a name that queries and alarms rely on.

/// One log event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogEvent {
    /// The value of the line's `event` field.
    pub name: &'static str,
    /// The levels it is written at.
    pub levels: &'static [&'static str],
    /// Its fields besides `event` and the top level's, in order; those in `optional` may be absent.
    pub fields: &'static [&'static str],
    /// Fields that a line has only when there is something to say.
    pub optional: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

/// The fields that every line may have at its top level; a field of an event with one of these names is written
/// as `field_<name>`. `message` is missing on purpose: the event's own message is the line's.
pub const TOP_LEVEL_FIELDS: &[&str] = &[
    "timestamp",
    "level",
    "target",
    "service",
    "version",
    "environment",
    "trace_id",
    "span_id",
    "trace_flags",
    "request_id",
    "truncated",
];

/// The canonical line: exactly one for each request, however it ended.
pub const HTTP_REQUEST: LogEvent = LogEvent {
    name: "http_request",
    levels: &["INFO", "ERROR"],
    fields: &["method", "route", "path", "status", "duration_ms", "db_time_ms", "db_queries", "bytes", "outcome"],
    optional: &["user_id", "client_address"],
    help: "A request ended. ERROR when the status is 500 or above.",
};

/// Written by the log writer itself once there is room again.
pub const LOG_LINES_DROPPED: LogEvent = LogEvent {
    name: "log_lines_dropped",
    levels: &["WARN"],
    fields: &["lines", "first_dropped_at", "last_dropped_at"],
    optional: &[],
    help: "Log lines were lost between two moments because the output was too slow or failed.",
};

/// Written by the shipper, on standard output only, when CloudWatch Logs has not answered well for a while.
pub const LOG_SHIPPER_FAILING: LogEvent = LogEvent {
    name: "log_shipper_failing",
    levels: &["WARN"],
    fields: &["reason", "error"],
    optional: &[],
    help: "Log lines do not reach CloudWatch; they are kept while there is room, and tried again.",
};

/// Written by the shipper, on standard output only, when that is over.
pub const LOG_SHIPPER_RECOVERED: LogEvent = LogEvent {
    name: "log_shipper_recovered",
    levels: &["INFO"],
    fields: &["failed_for_ms"],
    optional: &[],
    help: "Log lines reach CloudWatch again.",
};

/// Written by the shipper, on standard output only, once a minute at most.
pub const LOG_SHIPPER_REJECTED: LogEvent = LogEvent {
    name: "log_shipper_rejected",
    levels: &["WARN"],
    fields: &["lines", "error"],
    optional: &[],
    help: "CloudWatch Logs refused lines for good.",
};

/// The shipper's last line, on standard output only. WARN when lines were lost.
pub const LOG_SHIPPER_STOPPED: LogEvent = LogEvent {
    name: "log_shipper_stopped",
    levels: &["INFO", "WARN"],
    fields: &["sent", "spooled", "lost"],
    optional: &[],
    help: "What became of all lines since the start: accepted, kept on disk for the next start, or lost.",
};

/// Every log event.
pub const LOG_EVENTS: &[&LogEvent] = &[
    &HTTP_REQUEST,
    &LOG_LINES_DROPPED,
    &LOG_SHIPPER_FAILING,
    &LOG_SHIPPER_RECOVERED,
    &LOG_SHIPPER_REJECTED,
    &LOG_SHIPPER_STOPPED,
];
