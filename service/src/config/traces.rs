//! OpenTelemetry's own variables, as its specification has them, and the one of ours beside them.

use std::time::Duration;

use telemetry::traces::{Sampler, TraceSettings};

use super::parse::{ConfigError, given, number};

/// The one protocol of OTLP that is spoken.
const PROTOCOL: &str = "http/protobuf";

/// Where traces go and which. Without an endpoint there are none, yet a setting that cannot be used ends the start.
#[derive(Debug, clap::Args)]
pub(super) struct TraceArgs {
    /// Base URL of the OpenTelemetry collector, OTLP over HTTP; traces go to its /v1/traces [default: no traces]
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", hide_env_values = true, global = true)]
    otel_exporter_otlp_endpoint: Option<String>,
    /// The whole URL for traces, in place of the base URL
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", hide_env_values = true, global = true)]
    otel_exporter_otlp_traces_endpoint: Option<String>,
    /// Headers to send with each batch, name=value separated by commas, values URL-encoded
    #[arg(long, env = "OTEL_EXPORTER_OTLP_HEADERS", hide_env_values = true, global = true)]
    otel_exporter_otlp_headers: Option<String>,
    /// How spans are sent: http/protobuf, the only one there is
    #[arg(long, env = "OTEL_EXPORTER_OTLP_PROTOCOL", default_value = PROTOCOL, global = true)]
    otel_exporter_otlp_protocol: String,
    /// The same for traces alone, in its place
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", global = true)]
    otel_exporter_otlp_traces_protocol: Option<String>,
    /// Milliseconds that sending a batch may take
    #[arg(long, env = "OTEL_EXPORTER_OTLP_TIMEOUT", default_value = "10000", global = true)]
    otel_exporter_otlp_timeout: String,
    /// Which traces to record [default: parentbased_always_on]
    #[arg(long, env = "OTEL_TRACES_SAMPLER", global = true)]
    otel_traces_sampler: Option<String>,
    /// Share of the traces, from 0 to 1, for traceidratio and parentbased_traceidratio [default: 1]
    #[arg(long, env = "OTEL_TRACES_SAMPLER_ARG", global = true)]
    otel_traces_sampler_arg: Option<String>,
    /// Name of the service in traces, log lines and CloudWatch's metrics [default: task-api, or service.name of the resource attributes]
    #[arg(long, env = "OTEL_SERVICE_NAME", global = true)]
    otel_service_name: Option<String>,
    /// Attributes of every trace, name=value separated by commas, values URL-encoded
    #[arg(long, env = "OTEL_RESOURCE_ATTRIBUTES", global = true)]
    otel_resource_attributes: Option<String>,
    /// Milliseconds over which a request's trace is kept whatever the sampler says
    #[arg(long, env = "TRACE_SLOW_MS", default_value = "200", global = true)]
    trace_slow_ms: String,
    #[arg(long, env = "ECS_CONTAINER_METADATA_URI_V4", hide = true, global = true)]
    ecs_container_metadata_uri_v4: Option<String>,
}

impl TraceArgs {
    /// The service's name, which every signal carries, and the settings of traces; `None` if no endpoint is given.
    pub(super) fn settings(self) -> Result<(String, Option<TraceSettings>), ConfigError> {
        let base = given(self.otel_exporter_otlp_endpoint);
        let base = base.map(|url| endpoint("OTEL_EXPORTER_OTLP_ENDPOINT", &url)).transpose()?;
        let whole = given(self.otel_exporter_otlp_traces_endpoint);
        let whole = whole.map(|url| endpoint("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &url)).transpose()?;
        protocol("OTEL_EXPORTER_OTLP_PROTOCOL", given(Some(self.otel_exporter_otlp_protocol)))?;
        protocol("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", given(self.otel_exporter_otlp_traces_protocol))?;
        let (name, argument) = (given(self.otel_traces_sampler), given(self.otel_traces_sampler_arg));
        let sampler = Sampler::parse(name.as_deref(), argument.as_deref()).map_err(|error| {
            let got = if error.variable() == "OTEL_TRACES_SAMPLER" { name } else { argument };
            ConfigError::new(error.variable(), format!("{:?}", got.unwrap_or_default()), error.to_string())
        })?;
        let headers = pairs("OTEL_EXPORTER_OTLP_HEADERS", given(self.otel_exporter_otlp_headers))?;
        let usable = |(name, value): &(String, String)| {
            http::HeaderName::from_bytes(name.as_bytes()).is_ok() && http::HeaderValue::from_str(value).is_ok()
        };
        if !headers.iter().all(usable) {
            let takes = "names and values that HTTP allows";
            return Err(ConfigError::new("OTEL_EXPORTER_OTLP_HEADERS", "a header that cannot be sent", takes));
        }
        let mut resource_attributes = pairs("OTEL_RESOURCE_ATTRIBUTES", given(self.otel_resource_attributes))?;
        let named = resource_attributes.iter().position(|(name, _)| name == "service.name");
        let named = named.map(|at| resource_attributes.remove(at).1);
        let timeout = number("OTEL_EXPORTER_OTLP_TIMEOUT", &self.otel_exporter_otlp_timeout, 1, 600_000)?;
        let slow = number("TRACE_SLOW_MS", &self.trace_slow_ms, 0, 3_600_000)?;
        let endpoint = whole.or_else(|| base.map(|base| format!("{}/v1/traces", base.trim_end_matches('/'))));
        let service_name = given(self.otel_service_name).or(named).unwrap_or_else(|| "task-api".to_owned());
        let settings = endpoint.map(|endpoint| TraceSettings {
            endpoint,
            headers,
            timeout: Duration::from_millis(timeout),
            sampler,
            slow: Duration::from_millis(slow),
            service_name: service_name.clone(),
            resource_attributes,
            ecs_metadata_uri: given(self.ecs_container_metadata_uri_v4),
        });
        Ok((service_name, settings))
    }
}

/// Refuses what would be ignored: a collector's port for gRPC does not speak HTTP.
fn protocol(variable: &'static str, got: Option<String>) -> Result<(), ConfigError> {
    match got.as_deref().map(str::trim) {
        None | Some(PROTOCOL) => Ok(()),
        Some(other) => Err(ConfigError::new(variable, format!("{other:?}"), format!("{PROTOCOL}, OTLP over HTTP"))),
    }
}

fn endpoint(variable: &'static str, text: &str) -> Result<String, ConfigError> {
    let text = text.trim();
    let fits = text.parse::<http::Uri>().is_ok_and(|url| {
        let plain = url.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        matches!(url.scheme_str(), Some("http" | "https")) && plain && url.query().is_none()
    });
    let takes = "a URL such as http://localhost:4318, without a user, a password or a query";
    // Not quoted: what does not parse may hold a password all the same.
    if fits { Ok(text.to_owned()) } else { Err(ConfigError::new(variable, "something else", takes)) }
}

/// `name=value,name=value`, values with `%` and two digits for what is not plain.
fn pairs(variable: &'static str, text: Option<String>) -> Result<Vec<(String, String)>, ConfigError> {
    let takes = "name=value pairs separated by commas, values URL-encoded";
    let text = text.unwrap_or_default();
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            let pair = part.split_once('=').filter(|(name, _)| !name.trim().is_empty());
            let pair =
                pair.and_then(|(name, value)| Some((name.trim().to_owned(), crate::percent::decoded(value.trim())?)));
            pair.ok_or_else(|| ConfigError::new(variable, "a part that is no such pair", takes))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded_and_what_is_none_is_refused() {
        let of = |text: &str| pairs("OTEL_RESOURCE_ATTRIBUTES", Some(text.to_owned())).ok();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(of(" a=1, b.c = x%20y=z ,"), Some(vec![pair("a", "1"), pair("b.c", "x y=z")]));
        assert_eq!(of(""), Some(vec![]));
        for text in ["a", "=1", "a=%2", "a=%zz", "a=%+1", "a=%ff"] {
            assert_eq!(of(text), None, "{text}");
        }
    }

    #[test]
    fn an_endpoint_is_an_http_url_without_secrets() {
        for url in ["http://localhost:4318", "https://collector.example/otlp/"] {
            assert!(endpoint("OTEL_EXPORTER_OTLP_ENDPOINT", url).is_ok(), "{url}");
        }
        for url in ["localhost:4318", "grpc://collector", "http://", "http://a:b@c", "https://c/?key=1", "/v1"] {
            assert!(endpoint("OTEL_EXPORTER_OTLP_ENDPOINT", url).is_err(), "{url}");
        }
    }
}
