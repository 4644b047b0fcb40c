//! The target's own metrics, read from its `/metrics`: the server's view beside the client's.

use std::collections::BTreeMap;

use http_body_util::Full;
use hyper::Request;
use hyper::header::{HOST, HeaderValue};

use crate::client::Connector;

const REQUESTS: &str = "http_server_request_duration_seconds";
const DATABASE: &str = "db_client_operation_duration_seconds";

/// A cumulative histogram: requests at most as slow as each edge.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Buckets {
    /// By edge in seconds, the last one infinite; edges as bits of `f64`, which sort alike for positive numbers.
    edges: BTreeMap<u64, f64>,
}

impl Buckets {
    fn add(&mut self, edge: f64, count: f64) {
        *self.edges.entry(edge.to_bits()).or_default() += count;
    }

    fn since(&self, before: &Self) -> Self {
        let less = |(edge, count): (&u64, &f64)| (*edge, count - before.edges.get(edge).copied().unwrap_or(0.0));
        Self { edges: self.edges.iter().map(less).collect() }
    }

    /// How many there are.
    pub fn count(&self) -> f64 {
        self.edges.values().next_back().copied().unwrap_or(0.0)
    }

    /// How many are at most as slow as this edge; `None` when it is no edge.
    pub fn within(&self, edge: f64) -> Option<f64> {
        self.edges.get(&edge.to_bits()).copied()
    }

    /// The edges between which a quantile lies, in seconds; the upper one may be infinite. `None` without any samples.
    pub fn bracket(&self, quantile: f64) -> Option<(f64, f64)> {
        let wanted = self.count() * quantile;
        if self.count() <= 0.0 {
            return None;
        }
        let mut lower = 0.0;
        for (edge, count) in &self.edges {
            if *count >= wanted {
                return Some((lower, f64::from_bits(*edge)));
            }
            lower = f64::from_bits(*edge);
        }
        None
    }
}

/// The target's metrics at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Requests by method and route, with the `synthetic` label wanted.
    pub requests: BTreeMap<(String, String), Buckets>,
    /// All database operations.
    pub database: Buckets,
    /// `build_info`'s labels: the version.
    pub build: String,
    /// When the process started, in seconds since 1970.
    pub started: f64,
    /// Other series that the report shows: name to value.
    pub gauges: BTreeMap<&'static str, f64>,
}

/// Single series that are of use, summed over their labels.
const GAUGES: [&str; 8] = [
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_open_fds",
    "http_server_rejected_requests_total",
    "db_client_connection_timeouts_total",
    "telemetry_dropped_total",
    "panics_total",
    "http_server_active_requests",
];

impl Snapshot {
    /// Asks the target.
    ///
    /// # Errors
    /// When it does not answer with metrics.
    pub async fn fetch(connector: &Connector, synthetic: &str) -> Result<Self, String> {
        let target = connector.target();
        let name = target.display();
        let failed = |why: &str| format!("{name}: {why}");
        let mut request = Request::new(Full::default());
        *request.uri_mut() = target.path.parse().map_err(|_| failed("no path"))?;
        if let Ok(host) = HeaderValue::from_str(&target.authority()) {
            request.headers_mut().insert(HOST, host);
        }
        let mut connection = connector.connect().await.map_err(|failure| failed(failure.as_str()))?;
        let answer = connection.send(request).await.map_err(|unanswered| failed(unanswered.failure.as_str()))?;
        if answer.status() != 200 {
            return Err(failed(&format!("status {}", answer.status().as_u16())));
        }
        let text = String::from_utf8_lossy(answer.body());
        let snapshot = Self::parse(&text, synthetic);
        if snapshot.build.is_empty() {
            return Err(failed("no build_info: these are not the Task API's metrics"));
        }
        Ok(snapshot)
    }

    /// Reads the text format of Prometheus, as far as it is of use here.
    pub fn parse(text: &str, synthetic: &str) -> Self {
        let mut snapshot = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let Ok(value) = value.parse::<f64>() else { continue };
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let label = |wanted: &str| label(labels, wanted);
            if name.strip_prefix(REQUESTS) == Some("_bucket") && label("synthetic").is_none_or(|is| is == synthetic) {
                let key = (label("http_request_method"), label("http_route"));
                if let ((Some(method), Some(route)), Some(edge)) = (key, label("le").and_then(edge)) {
                    snapshot.requests.entry((method.to_owned(), route.to_owned())).or_default().add(edge, value);
                }
            } else if name.strip_prefix(DATABASE) == Some("_bucket") {
                if let Some(edge) = label("le").and_then(edge) {
                    snapshot.database.add(edge, value);
                }
            } else if name == "build_info" && value > 0.0 {
                snapshot.build = labels.trim_end_matches('}').replace('"', "");
            } else if name == "process_start_time_seconds" {
                snapshot.started = value;
            } else if let Some(gauge) = GAUGES.into_iter().find(|gauge| *gauge == name) {
                *snapshot.gauges.entry(gauge).or_default() += value;
            }
        }
        snapshot
    }

    /// What came since `before`, of histograms only.
    pub fn since(&self, before: &Self) -> Self {
        let none = Buckets::default();
        let less = |(key, now): (&(String, String), &Buckets)| {
            (key.clone(), now.since(before.requests.get(key).unwrap_or(&none)))
        };
        Self {
            requests: self.requests.iter().map(less).collect(),
            database: self.database.since(&before.database),
            ..self.clone()
        }
    }

    /// Requests of one method and route.
    pub fn count(&self, (method, route): (&str, &str)) -> f64 {
        self.requests.get(&(method.to_owned(), route.to_owned())).map_or(0.0, Buckets::count)
    }

    /// All requests of these methods and routes together.
    pub fn together(&self, routes: &[(&str, &str)]) -> Buckets {
        let mut all = Buckets::default();
        for ((method, route), buckets) in &self.requests {
            if routes.contains(&(method.as_str(), route.as_str())) {
                buckets.edges.iter().for_each(|(edge, count)| all.add(f64::from_bits(*edge), *count));
            }
        }
        all
    }
}

fn edge(text: &str) -> Option<f64> {
    if text == "+Inf" { Some(f64::INFINITY) } else { text.parse().ok() }
}

/// The value of a label. The values that are of use hold no quotes and no commas.
fn label<'a>(labels: &'a str, wanted: &str) -> Option<&'a str> {
    labels.trim_end_matches('}').split(',').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        (name == wanted).then(|| value.trim_matches('"'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# HELP x y
http_server_request_duration_seconds_bucket{http_request_method="GET",http_route="/a",http_response_status_code="200",synthetic="none",le="0.1"} 90
http_server_request_duration_seconds_bucket{http_request_method="GET",http_route="/a",http_response_status_code="200",synthetic="none",le="+Inf"} 100
http_server_request_duration_seconds_bucket{http_request_method="GET",http_route="/a",http_response_status_code="500",synthetic="none",le="0.1"} 0
http_server_request_duration_seconds_bucket{http_request_method="GET",http_route="/a",http_response_status_code="500",synthetic="none",le="+Inf"} 20
http_server_request_duration_seconds_bucket{http_request_method="GET",http_route="/a",http_response_status_code="200",synthetic="load",le="+Inf"} 7
db_client_operation_duration_seconds_bucket{db_operation_name="task.get",error_type="",le="0.05"} 99
db_client_operation_duration_seconds_bucket{db_operation_name="task.get",error_type="",le="+Inf"} 100
build_info{version="1",revision="abc"} 1
process_open_fds 22
"#;

    #[test]
    fn statuses_are_summed_and_other_traffic_is_left_out() {
        let snapshot = Snapshot::parse(TEXT, "none");
        assert_eq!(snapshot.count(("GET", "/a")), 120.0);
        assert_eq!(Snapshot::parse(TEXT, "load").count(("GET", "/a")), 7.0);
        assert_eq!(snapshot.together(&[("GET", "/a")]).bracket(0.5), Some((0.0, 0.1)));
        assert_eq!(snapshot.together(&[("GET", "/a")]).bracket(0.99), Some((0.1, f64::INFINITY)));
        assert_eq!(snapshot.database.within(0.05), Some(99.0));
        assert_eq!(snapshot.build, "version=1,revision=abc");
        assert_eq!(snapshot.gauges["process_open_fds"], 22.0);
    }

    #[test]
    fn what_came_since_is_a_difference() {
        let snapshot = Snapshot::parse(TEXT, "none");
        assert_eq!(snapshot.since(&snapshot).count(("GET", "/a")), 0.0);
        assert_eq!(snapshot.since(&Snapshot::default()).count(("GET", "/a")), 120.0);
    }
}
