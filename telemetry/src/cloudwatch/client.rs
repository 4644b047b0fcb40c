//! The SDK's client, with its own retries off and both of its timeouts set, and what its answers mean to us.

use aws_config::{BehaviorVersion, timeout::TimeoutConfig};
use aws_sdk_cloudwatchlogs::{
    Client as Sdk,
    config::retry::RetryConfig,
    error::{DisplayErrorContext, ProvideErrorMetadata, SdkError},
    types::RejectedLogEventsInfo,
};
use http::header::CONTENT_LENGTH;

use super::{
    event::{Event, weight_of},
    settings::CloudWatchSettings,
};
use crate::{
    catalogue::ShipperOutcome,
    logs::{append_json_string, append_number},
};

/// The most characters of an error that a line of ours repeats.
const ERROR_CHARACTERS_MAX: usize = 300;

/// Why a request was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) outcome: ShipperOutcome,
    pub(super) error: String,
}

/// How many of a request's events were refused although it was accepted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Rejected {
    pub(super) too_old: usize,
    pub(super) too_new: usize,
    pub(super) expired: usize,
}

impl Rejected {
    /// From the indexes of an answer to a request of `events`: the old ones are the first, the new ones the last.
    fn from_answer(info: &RejectedLogEventsInfo, events: usize) -> Self {
        let index = |index: Option<i32>, absent: usize| {
            index.map_or(absent, |index| usize::try_from(index).unwrap_or(0)).min(events)
        };
        let too_old = index(info.too_old_log_event_end_index(), 0);
        // What has outlived the group's retention is older still, or not so old yet: the longer stretch covers both.
        let expired = index(info.expired_log_event_end_index(), 0).saturating_sub(too_old);
        let too_new = events - index(info.too_new_log_event_start_index(), events).max(too_old + expired);
        Self { too_old, too_new, expired }
    }

    pub(super) fn total(self) -> usize {
        self.too_old + self.too_new + self.expired
    }
}

/// One stream of one group.
#[derive(Debug)]
pub(super) struct Client {
    sdk: Sdk,
    group: String,
    stream: String,
    retention_days: i32,
}

impl Client {
    /// Reads region, credentials and endpoint as the SDK does, which may ask the machine's metadata service. Without a region
    /// there is no client: it would never find one.
    pub(super) async fn connect(settings: &CloudWatchSettings, stream: &str) -> Result<Self, Failure> {
        let found = match &settings.sdk_config {
            Some(config) => config.clone(),
            None => aws_config::defaults(BehaviorVersion::latest()).load().await,
        };
        if found.region().is_none_or(|region| region.as_ref().is_empty()) {
            let error = "no region: AWS_REGION is not set, no profile names one, and the machine says none".to_owned();
            return Err(Failure { outcome: ShipperOutcome::Connection, error });
        }
        let pace = settings.pace;
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(pace.connect_timeout)
            .operation_attempt_timeout(pace.attempt_timeout)
            // Finding credentials is part of the operation and not of the attempt.
            .operation_timeout(pace.attempt_timeout + pace.connect_timeout);
        let config = aws_sdk_cloudwatchlogs::config::Builder::from(&found)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts.build());
        Ok(Self {
            sdk: Sdk::from_conf(config.build()),
            group: settings.log_group.clone(),
            stream: stream.to_owned(),
            retention_days: settings.retention_days,
        })
    }

    /// Sends one request. The SDK signs it, sends it and reads its answer; its body is ours, since the SDK takes 12,000 instructions
    /// for a line, most of them to escape it byte by byte.
    pub(super) async fn put(&self, events: &[Event]) -> Result<Rejected, Failure> {
        let body = self.body(events);
        let request = self.sdk.put_log_events().log_group_name(&self.group).log_stream_name(&self.stream);
        // None of its own: what it writes is replaced before it is signed.
        let request = request.set_log_events(Some(Vec::new())).customize().mutate_request(move |request| {
            request.headers_mut().insert(CONTENT_LENGTH.as_str(), body.len().to_string());
            *request.body_mut() = body.as_slice().into();
        });
        match request.send().await {
            Ok(answer) => Ok(answer
                .rejected_log_events_info()
                .map_or_else(Rejected::default, |info| Rejected::from_answer(info, events.len()))),
            Err(error) => Err(failure(&error)),
        }
    }

    /// The body of PutLogEvents, in its JSON 1.1 protocol.
    fn body(&self, events: &[Event]) -> Vec<u8> {
        let mut body = Vec::with_capacity(weight_of(events) * 5 / 4);
        body.extend_from_slice(b"{\"logGroupName\":");
        append_json_string(&self.group, &mut body);
        body.extend_from_slice(b",\"logStreamName\":");
        append_json_string(&self.stream, &mut body);
        body.extend_from_slice(b",\"logEvents\":[");
        for (number, event) in events.iter().enumerate() {
            if number > 0 {
                body.push(b',');
            }
            body.extend_from_slice(b"{\"timestamp\":");
            append_number(event.timestamp_ms, &mut body);
            body.extend_from_slice(b",\"message\":");
            append_json_string(&event.line, &mut body);
            body.push(b'}');
        }
        body.extend_from_slice(b"]}");
        body
    }

    /// Makes the stream, and the group if there is none. Others may make them at the same time. A retention that could
    /// not be set is handed to `unlimited`, and is no failure: logs without an end are better than no logs.
    pub(super) async fn create(&self, unlimited: impl FnOnce(&Failure)) -> Result<(), Failure> {
        match self.create_stream().await {
            Err(missing) if missing.outcome == ShipperOutcome::Missing => {}
            result => return result,
        }
        let request = self.sdk.create_log_group().log_group_name(&self.group);
        match request.send().await {
            Ok(_) => {
                let request = self.sdk.put_retention_policy().log_group_name(&self.group);
                if let Err(error) = request.retention_in_days(self.retention_days).send().await {
                    unlimited(&failure(&error));
                }
            }
            Err(error) if error.code() == Some("ResourceAlreadyExistsException") => {}
            Err(error) => return Err(failure(&error)),
        }
        self.create_stream().await
    }

    async fn create_stream(&self) -> Result<(), Failure> {
        let request = self.sdk.create_log_stream().log_group_name(&self.group).log_stream_name(&self.stream);
        match request.send().await {
            Err(error) if error.code() == Some("ResourceAlreadyExistsException") => Ok(()),
            Err(error) => Err(failure(&error)),
            Ok(_) => Ok(()),
        }
    }
}

fn failure<E>(error: &SdkError<E>) -> Failure
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let outcome = match error {
        SdkError::TimeoutError(_) => ShipperOutcome::Timeout,
        SdkError::DispatchFailure(cause) if cause.is_timeout() => ShipperOutcome::Timeout,
        // The search for credentials fails here too, and has no type of its own.
        SdkError::DispatchFailure(cause) if !cause.is_io() && names_credentials(error) => ShipperOutcome::Credentials,
        SdkError::DispatchFailure(_) => ShipperOutcome::Connection,
        SdkError::ConstructionFailure(_) => ShipperOutcome::Credentials,
        SdkError::ServiceError(answer) => {
            meaning(answer.raw().status().as_u16(), answer.err().code().unwrap_or_default())
        }
        // The answer broke off, or is none.
        _ => ShipperOutcome::ServerError,
    };
    let text = match error {
        SdkError::ServiceError(answer) => {
            let (code, message) = (answer.err().code(), answer.err().message());
            format!("{}: {}", code.unwrap_or("an error without a code"), message.unwrap_or("no message"))
        }
        other => DisplayErrorContext(other).to_string(),
    };
    Failure { outcome, error: text.chars().take(ERROR_CHARACTERS_MAX).collect() }
}

fn names_credentials(error: &(dyn std::error::Error + 'static)) -> bool {
    DisplayErrorContext(error).to_string().to_ascii_lowercase().contains("credentials")
}

/// What an error answer means. Only what is known to concern the events themselves counts against them: everything that
/// may pass, or that an operator can put right, is tried again.
fn meaning(status: u16, code: &str) -> ShipperOutcome {
    match (status, code) {
        (_, "ThrottlingException" | "Throttling" | "TooManyRequestsException" | "RequestLimitExceeded") | (429, _) => {
            ShipperOutcome::Throttled
        }
        (_, "ServiceUnavailableException" | "InternalFailure") | (500.., _) => ShipperOutcome::ServerError,
        (_, "ResourceNotFoundException") => ShipperOutcome::Missing,
        (_, "RequestTimeout" | "RequestTimeoutException") | (408, _) => ShipperOutcome::Timeout,
        (
            _,
            "ExpiredToken"
            | "ExpiredTokenException"
            | "RequestExpired"
            | "UnrecognizedClientException"
            | "InvalidClientTokenId"
            | "InvalidSignatureException"
            | "SignatureDoesNotMatch"
            | "IncompleteSignature"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException"
            | "AccessDenied"
            | "AccessDeniedException"
            | "AuthFailure"
            | "OptInRequired",
        )
        | (401 | 403, _) => ShipperOutcome::Credentials,
        _ => ShipperOutcome::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloudwatch::event::Rank;

    #[test]
    fn what_may_pass_is_tried_again_and_the_rest_is_refused() {
        for (status, code, expected) in [
            (400, "ThrottlingException", ShipperOutcome::Throttled),
            (429, "", ShipperOutcome::Throttled),
            (500, "", ShipperOutcome::ServerError),
            (503, "ServiceUnavailableException", ShipperOutcome::ServerError),
            (400, "ResourceNotFoundException", ShipperOutcome::Missing),
            (400, "ExpiredTokenException", ShipperOutcome::Credentials),
            (403, "", ShipperOutcome::Credentials),
            (408, "", ShipperOutcome::Timeout),
            (400, "InvalidParameterException", ShipperOutcome::Refused),
            (413, "", ShipperOutcome::Refused),
        ] {
            assert_eq!(meaning(status, code), expected, "{status} {code}");
        }
    }

    #[tokio::test]
    async fn without_a_region_there_is_no_client_and_it_is_tried_again() {
        let connect = async |region: Option<&'static str>| {
            let region = region.map(aws_config::Region::new);
            let sdk_config =
                aws_config::SdkConfig::builder().behavior_version(BehaviorVersion::latest()).region(region).build();
            let settings = CloudWatchSettings { sdk_config: Some(sdk_config), ..CloudWatchSettings::new("g") };
            Client::connect(&settings, "s").await
        };
        for missing in [None, Some("")] {
            let failure = connect(missing).await.expect_err("no client");
            assert!(
                failure.outcome == ShipperOutcome::Connection && failure.error.contains("AWS_REGION"),
                "{failure:?}"
            );
        }
        assert!(connect(Some("eu-west-1")).await.is_ok());
    }

    #[tokio::test]
    async fn the_body_is_what_the_operation_takes() {
        let region = aws_config::Region::new("eu-west-1");
        let sdk_config =
            aws_config::SdkConfig::builder().behavior_version(BehaviorVersion::latest()).region(region).build();
        let settings = CloudWatchSettings { sdk_config: Some(sdk_config), ..CloudWatchSettings::new("a \"group\"") };
        let client = Client::connect(&settings, "s/1").await.expect("a client");
        let long = "ä\u{7f}\n".repeat(100_000);
        let lines = ["{\"a\":\"\\n\"}", "", &long];
        let events = lines.map(|line| Event { timestamp_ms: 1_700_000_000_123, rank: Rank::Info, line: line.into() });
        let written: serde_json::Value = serde_json::from_slice(&client.body(&events)).expect("JSON");
        let events = lines.map(|line| serde_json::json!({"timestamp": 1_700_000_000_123_i64, "message": line}));
        let expected = serde_json::json!({"logGroupName": "a \"group\"", "logStreamName": "s/1", "logEvents": events});
        assert_eq!(written, expected);
        assert_eq!(
            serde_json::from_slice::<serde_json::Value>(&client.body(&[])).expect("JSON")["logEvents"],
            serde_json::json!([])
        );
    }

    #[test]
    fn rejected_events_are_counted_once_each_by_the_indexes_of_the_answer() {
        let info = |old: Option<i32>, expired: Option<i32>, new: Option<i32>| {
            RejectedLogEventsInfo::builder()
                .set_too_old_log_event_end_index(old)
                .set_expired_log_event_end_index(expired)
                .set_too_new_log_event_start_index(new)
                .build()
        };
        let count = |old, expired, new| Rejected::from_answer(&info(old, expired, new), 10);
        assert_eq!(count(Some(3), None, Some(8)), Rejected { too_old: 3, too_new: 2, expired: 0 });
        assert_eq!(count(Some(2), Some(5), None), Rejected { too_old: 2, too_new: 0, expired: 3 });
        assert_eq!(count(Some(5), Some(2), None), Rejected { too_old: 5, too_new: 0, expired: 0 });
        assert_eq!(count(None, None, None), Rejected::default());
        for odd in [-1, 0, 10, 11, i32::MAX] {
            assert!(count(Some(odd), Some(odd), Some(odd)).total() <= 10, "{odd}");
        }
    }
}
