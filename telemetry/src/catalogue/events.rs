//! The log events: every line that our code writes has one of these names in its `event` field, for queries and alarms to
//! rely on.

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
    optional: &["user_id", "client_address", "synthetic", "cause"],
    help: "A request ended. ERROR when the status is 500 or above or something panicked, with the cause where it is known: \
           the one line at ERROR that a failed request writes.",
};

/// Written by the log writer itself once there is room again.
pub const LOG_LINES_DROPPED: LogEvent = LogEvent {
    name: "log_lines_dropped",
    levels: &["WARN"],
    fields: &["lines", "first_dropped_at", "last_dropped_at"],
    optional: &[],
    help: "Log lines were lost between two moments because the output was too slow or failed.",
};

/// Written at most once a minute for each signal.
pub const DELIVERY_FAILED: LogEvent = LogEvent {
    name: "telemetry_delivery_failed",
    levels: &["WARN"],
    fields: &["signal", "failures", "dropped", "error"],
    optional: &[],
    help: "Spans or errors could not be delivered: how often since the last such line, and how many were lost since the start.",
};

/// Written by the panic hook. Within a request the canonical line is the one at ERROR.
pub const PANICKED: LogEvent = LogEvent {
    name: "panicked",
    levels: &["WARN", "ERROR"],
    fields: &["location", "panic", "thread"],
    optional: &[],
    help: "Code panicked; the message is redacted. WARN within a request, whose ids it has; ERROR where no request answers for it.",
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

/// Written by the shipper, on standard output only, when it has made the log group.
pub const LOG_SHIPPER_RETENTION_FAILED: LogEvent = LogEvent {
    name: "log_shipper_retention_failed",
    levels: &["WARN"],
    fields: &["retention_days", "error"],
    optional: &[],
    help: "The log group was made but its retention could not be set: it keeps its lines for ever.",
};

/// The shipper's last line, on standard output only. WARN when lines were lost.
pub const LOG_SHIPPER_STOPPED: LogEvent = LogEvent {
    name: "log_shipper_stopped",
    levels: &["INFO", "WARN"],
    fields: &["sent", "spooled", "lost"],
    optional: &[],
    help: "What became of all lines since the start: accepted, kept on disk for the next start, or lost.",
};

const INFO: &[&str] = &["INFO"];
const WARN: &[&str] = &["WARN"];
const ERROR: &[&str] = &["ERROR"];

const fn event(
    name: &'static str,
    levels: &'static [&'static str],
    fields: &'static [&'static str],
    help: &'static str,
) -> LogEvent {
    LogEvent { name, levels, fields, optional: &[], help }
}

/// Every log event; a test of the service compares this list with the source and with what the binary writes.
pub const LOG_EVENTS: &[&LogEvent] = &[
    &HTTP_REQUEST,
    &LOG_LINES_DROPPED,
    &DELIVERY_FAILED,
    &PANICKED,
    &LOG_SHIPPER_FAILING,
    &LOG_SHIPPER_RECOVERED,
    &LOG_SHIPPER_REJECTED,
    &LOG_SHIPPER_RETENTION_FAILED,
    &LOG_SHIPPER_STOPPED,
    &event("refresh_token_reused", WARN, &["session_id"], "An old refresh token came again: its session was ended."),
    &event(
        "started",
        INFO,
        &["api", "docs", "admin", "metrics", "logs", "traces", "errors"],
        "The service serves; where, and where its signals go.",
    ),
    &event("draining", INFO, &["delay_ms"], "The service is told to stop: not ready any more, serving on."),
    &event("stopped", INFO, &["connections_cut"], "The service has stopped serving."),
    &event("failed", ERROR, &["error"], "The service ends because it could not start or go on."),
    &event("migrated", INFO, &["migration"], "A migration was applied at the start."),
    &event("log_level_changed", INFO, &["filter"], "Another level filter is in force."),
    &event("purged", INFO, &["tasks", "others"], "What had expired was removed for good."),
    &event(
        "maintenance_failed",
        WARN,
        &["error"],
        "A checkpoint, a purge or the indexing of what others wrote did not succeed; it is tried again.",
    ),
    &event(
        "text_index_rebuilt",
        WARN,
        &["error"],
        "SQLite's full-text index did not hold what it should have, and was made anew from the tasks.",
    ),
    &event("database_connection_failed", WARN, &["error"], "The pool could not connect; at most one line a second."),
    &event("accept_failed", WARN, &["error"], "A client's connection could not be accepted."),
    &event("descriptor_limit", WARN, &[], "The limit of open files could not be raised."),
];
