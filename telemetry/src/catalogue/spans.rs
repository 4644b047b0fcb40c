//! The spans: names, kinds and attributes, after OpenTelemetry's semantic conventions for HTTP and databases.

/// One kind of span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanDefinition {
    /// How it is named; `{…}` is filled in, each from a closed set.
    pub name: &'static str,
    /// `server` or `client`.
    pub kind: &'static str,
    /// Attributes that each one has.
    pub attributes: &'static [&'static str],
    /// Attributes that are there when there is something to say.
    pub optional: &'static [&'static str],
    /// What it covers.
    pub help: &'static str,
}

/// One request, from its arrival to the last byte of its answer.
pub const SERVER_SPAN: SpanDefinition = SpanDefinition {
    name: "{method} {route}",
    kind: "server",
    attributes: &[
        "http.request.method",
        "http.response.status_code",
        "http.response.body.size",
        "url.path",
        "url.scheme",
        "request_id",
        "outcome",
        "db.queries",
        "db.time",
        "sampling.reason",
    ],
    optional: &["http.route", "client.address", "user.id", "error.type", "synthetic"],
    help: "A request. 5xx set the status to error, 4xx leave it unset. Of sampling.reason the values error and slow mark \
           a span that the ratio would not have kept: it stands alone, without the operations below it.",
};

/// One database operation, without the wait for a connection.
pub const DATABASE_SPAN: SpanDefinition = SpanDefinition {
    name: "{operation}",
    kind: "client",
    attributes: &["db.system.name", "db.operation.name", "db.client.connection.wait_time"],
    optional: &["error.type"],
    help: "An operation of the store, after a connection came free; how long that took, in seconds, is an attribute.",
};

/// Every kind of span.
pub const SPANS: &[&SpanDefinition] = &[&SERVER_SPAN, &DATABASE_SPAN];
