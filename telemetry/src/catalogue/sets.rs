//! The closed sets: enums whose members are the only values their label can take.

/// Declares an enum of label values: its members, their spelling, and the list of both.
macro_rules! closed_set {
    ($(#[$outer:meta])* $name:ident { $($(#[$inner:meta])* $member:ident = $text:literal,)+ }) => {
        $(#[$outer])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$inner])* $member,)+ }

        impl $name {
            /// Every member, in order.
            pub const ALL: &'static [Self] = &[$(Self::$member),+];
            /// Every label value, in the order of `ALL`.
            pub const LABELS: &'static [&'static str] = &[$($text),+];

            /// The value of the label.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$member => $text),+ }
            }
        }
    };
}

closed_set! {
    /// Why a request was refused before or instead of its handler's answer.
    Rejection {
        /// As many requests as the process takes are being served.
        InFlightLimit = "in_flight_limit",
        /// The request's time was over.
        Timeout = "timeout",
        /// The body is longer than its route takes.
        BodyTooLarge = "body_too_large",
        /// The address is longer than any of ours.
        UriTooLong = "uri_too_long",
        /// The caller's allowance is used up.
        RateLimited = "rate_limited",
        /// What arrived is not HTTP.
        Malformed = "malformed",
        /// The headers did not arrive in time.
        HeaderTimeout = "header_timeout",
        /// As many connections as the process takes are open.
        ConnectionLimit = "connection_limit",
        /// Too many passwords wait to be hashed.
        PasswordQueueFull = "password_queue_full",
        /// No connection of the pool came free in time.
        DatabaseBusy = "database_busy",
    }
}

closed_set! {
    /// Whose request it is: a user's, or one of ours that only looks at the service.
    Synthetic {
        /// A user's, and every request that claims otherwise without the right to.
        None = "none",
        /// The prober's.
        Canary = "canary",
        /// A load test's.
        Load = "load",
    }
}

impl Synthetic {
    /// The label's value, or nothing for a user's request: lines and spans say it only when there is something to say.
    pub const fn known(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Canary | Self::Load => Some(self.as_str()),
        }
    }
}

closed_set! {
    /// Whether a cache had what was asked for.
    CacheResult {
        /// It had it.
        Hit = "hit",
        /// It did not, or not in that version.
        Miss = "miss",
    }
}

closed_set! {
    /// How an attempt to authenticate ended.
    AuthResult {
        /// Tokens were issued.
        Success = "success",
        /// No such user, or not its password.
        InvalidCredentials = "invalid_credentials",
        /// A refresh token came a second time: its family is revoked.
        RefreshReuse = "refresh_reuse",
        /// A refresh token that is unknown, expired or revoked.
        InvalidRefresh = "invalid_refresh",
    }
}

closed_set! {
    /// Why a database operation failed.
    DbErrorType {
        /// The statement took longer than it may.
        Timeout = "timeout",
        /// The database could not be reached or shut the connection.
        Unavailable = "unavailable",
        /// A constraint or a concurrent write was in the way.
        Conflict = "conflict",
        /// Anything else: a mistake of ours.
        Internal = "internal",
        /// No connection of the pool came free in time.
        PoolTimeout = "pool_timeout",
        /// Nobody waits for it any more: its client left. No failure of the database.
        Cancelled = "cancelled",
    }
}

closed_set! {
    /// What a connection of the pool is doing.
    ConnectionState {
        /// Open and free.
        Idle = "idle",
        /// Lent to a request.
        Used = "used",
    }
}

closed_set! {
    /// Why telemetry was thrown away.
    DropReason {
        /// The bounded buffer had no room left.
        QueueFull = "queue_full",
        /// The output answered with an error.
        WriteFailed = "write_failed",
        /// The other side refused the request, or could not be reached.
        ExportFailed = "export_failed",
        /// The other side took the request and refused this part of it.
        Rejected = "rejected",
        /// The other side has asked for a pause, or a second had its share of spans that are kept for slowness.
        RateLimited = "rate_limited",
        /// The process ended first.
        Shutdown = "shutdown",
    }
}

closed_set! {
    /// What became of an event for Sentry.
    SentryResult {
        /// Sentry took it.
        Sent = "sent",
        /// Sentry refused it, or could not be reached.
        Failed = "failed",
        /// Sentry has asked for a pause.
        RateLimited = "rate_limited",
        /// There was no room in the queue, or the process ended.
        Dropped = "dropped",
    }
}

closed_set! {
    /// What is told to the outside.
    Signal {
        /// Log lines on standard output.
        Log = "log",
        /// Spans over OTLP.
        Trace = "trace",
        /// Failures to Sentry.
        Error = "error",
        /// Log lines to CloudWatch Logs.
        CloudWatch = "cloudwatch",
    }
}

closed_set! {
    /// Why CloudWatch Logs refused a line for good.
    ShipperReject {
        /// Older than 14 days.
        TooOld = "too_old",
        /// More than two hours ahead of its clock.
        TooNew = "too_new",
        /// Older than what the group retains.
        Expired = "expired",
        /// The request was refused, and by halving it the line was found.
        Refused = "refused",
    }
}

closed_set! {
    /// Why the shipper threw a line away.
    ShipperDrop {
        /// The bounded memory had no room left.
        QueueFull = "queue_full",
        /// The spool did not give it back whole.
        SpoolCorrupt = "spool_corrupt",
    }
}

closed_set! {
    /// How a request to CloudWatch Logs ended.
    ShipperOutcome {
        /// Accepted, perhaps without some of its lines.
        Ok = "ok",
        /// Too many requests.
        Throttled = "throttled",
        /// 5xx, or an answer that broke off.
        ServerError = "server_error",
        /// No answer in time.
        Timeout = "timeout",
        /// No connection, or it broke.
        Connection = "connection",
        /// No credentials, expired ones, or ones without the right.
        Credentials = "credentials",
        /// The group or the stream does not exist.
        Missing = "missing",
        /// Any other 4xx: something about its lines.
        Refused = "refused",
    }
}

impl DbErrorType {
    /// The values of `error_type`: the empty string is success, then the members in order.
    pub const LABELS_WITH_SUCCESS: [&'static str; Self::ALL.len() + 1] = {
        let mut labels = [""; Self::ALL.len() + 1];
        let mut at = 0;
        while at < Self::LABELS.len() {
            labels[at + 1] = Self::LABELS[at];
            at += 1;
        }
        labels
    };
}

/// The values of `http_request_method`: the nine methods of RFC 9110 and RFC 5789, and the rest as one.
pub const METHODS: [&str; 10] =
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "_OTHER"];

/// Declares the statuses once as numbers and once as label values.
macro_rules! statuses {
    ($($status:literal),+ $(,)?) => {
        /// The statuses that are counted apart, ascending. Any other counts as the nearest of its class.
        pub const STATUSES: [u16; STATUS_LABELS.len()] = [$($status),+];
        /// The values of `http_response_status_code`, in the order of [`STATUSES`].
        pub const STATUS_LABELS: &[&str] = &[$(stringify!($status)),+];
    };
}

statuses!(200, 201, 204, 207, 303, 304, 400, 401, 403, 404, 405, 409, 412, 413, 414, 415, 422, 429, 431, 499, 500, 503,);
