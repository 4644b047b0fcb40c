//! The saved queries of CloudWatch Logs Insights: what somebody on call asks first.

/// One query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Query {
    /// Also its logical id in the template.
    pub(crate) id: &'static str,
    /// As people find it, in the folder of service and environment.
    pub(crate) name: &'static str,
    /// What it answers.
    pub(crate) says: &'static str,
    /// The query.
    pub(crate) text: &'static str,
}

/// All of them.
pub(crate) const QUERIES: &[Query] = &[
    Query {
        id: "QueryErrorsByRoute",
        name: "Errors by route",
        says: "Which operations fail, how often, and how they end.",
        text: "filter event = \"http_request\" and status >= 500\n\
               | stats count(*) as failures, count_distinct(user_id) as users by method, route, status, outcome\n\
               | sort failures desc\n\
               | limit 50",
    },
    Query {
        id: "QuerySlowestRequests",
        name: "Slowest requests",
        says: "The slowest requests with their trace, and how much of the time the database took.",
        text: "fields @timestamp, method, route, status, duration_ms, db_time_ms, db_queries, trace_id, request_id\n\
               | filter event = \"http_request\"\n\
               | sort duration_ms desc\n\
               | limit 50",
    },
    Query {
        id: "QueryLatencyByRoute",
        name: "Latency by route",
        says: "Percentiles of each operation, and the share of the database in it.",
        text: "filter event = \"http_request\"\n\
               | stats count(*) as requests, pct(duration_ms, 50) as p50, pct(duration_ms, 99) as p99, \
               pct(db_time_ms, 99) as db_p99 by method, route\n\
               | sort p99 desc\n\
               | limit 50",
    },
    Query {
        id: "QueryOneRequest",
        name: "One request",
        says: "All lines of one request: put in the id that the caller was given.",
        text: "fields @timestamp, level, event, message, @message\n\
               | filter request_id = \"00000000-0000-0000-0000-000000000000\" \
               or trace_id = \"00000000000000000000000000000000\"\n\
               | sort @timestamp asc\n\
               | limit 200",
    },
    Query {
        id: "QueryErrorLines",
        name: "Errors and warnings",
        says: "Everything but requests that was written at ERROR or WARN, by event.",
        text: "filter level in [\"ERROR\", \"WARN\"] and event != \"http_request\"\n\
               | stats count(*) as lines, min(@timestamp) as first, max(@timestamp) as last by level, event\n\
               | sort lines desc\n\
               | limit 50",
    },
    Query {
        id: "QueryPanics",
        name: "Panics",
        says: "Where the code panicked, with the request in which it did.",
        text: "fields @timestamp, location, panic, thread, request_id, trace_id\n\
               | filter event = \"panicked\"\n\
               | sort @timestamp desc\n\
               | limit 50",
    },
    Query {
        id: "QueryVersions",
        name: "Versions",
        says: "Requests by running version, failed ones at level ERROR: did it begin with a deployment?",
        text: "filter event = \"http_request\"\n\
               | stats count(*) as requests, pct(duration_ms, 99) as p99 by version, level, bin(5m)\n\
               | sort version asc\n\
               | limit 500",
    },
    Query {
        id: "QueryRefused",
        name: "Refused logins",
        says: "Addresses whose logins are refused or limited: somebody guesses passwords.",
        text: "filter event = \"http_request\" and route like /auth/ and status in [401, 429]\n\
               | stats count(*) as refused by client_address, route, status\n\
               | sort refused desc\n\
               | limit 50",
    },
    Query {
        id: "QueryDatabase",
        name: "Database",
        says: "Minutes in which the database took long, and whether requests failed in them.",
        text: "filter event = \"http_request\"\n\
               | stats pct(db_time_ms, 99) as db_p99, max(db_queries) as queries, max(status) as status by bin(1m)\n\
               | sort db_p99 desc\n\
               | limit 60",
    },
    Query {
        id: "QueryTelemetryLosses",
        name: "Telemetry losses",
        says: "What was lost of logs, spans and errors, and why.",
        text: "fields @timestamp, event, signal, lines, failures, dropped, error\n\
               | filter event in [\"log_lines_dropped\", \"telemetry_delivery_failed\"]\n\
               | sort @timestamp desc\n\
               | limit 50",
    },
];
