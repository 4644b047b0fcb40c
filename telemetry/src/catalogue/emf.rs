//! The metrics that CloudWatch makes of log lines in its embedded metric format: names, units and dimensions. Alarms and
//! dashboards name them, so they stand here once.

/// One metric of CloudWatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmfMetric {
    /// As CloudWatch lists it.
    pub name: &'static str,
    /// One of CloudWatch's units.
    pub unit: &'static str,
    /// What it counts.
    pub help: &'static str,
}

/// The metrics of one kind of line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmfNamespace {
    /// The namespace; that of the service can be configured, and this is what the templates configure.
    pub name: &'static str,
    /// Each exists once in every dimension set.
    pub metrics: &'static [EmfMetric],
    /// The names of the dimensions of each set; a set is a billed metric for each of its values.
    pub dimension_sets: &'static [&'static [&'static str]],
}

/// What the service is called.
pub const EMF_SERVICE: &str = "Service";
/// Where it runs: `production`, `staging`, ….
pub const EMF_ENVIRONMENT: &str = "Environment";
/// The route's template, never a path.
pub const EMF_ROUTE: &str = "Route";
/// The name of the canary.
pub const EMF_CANARY_NAME: &str = "CanaryName";
/// A step of the canary's journey.
pub const EMF_STEP_NAME: &str = "StepName";

/// Requests within the minute.
pub const EMF_REQUESTS: EmfMetric = EmfMetric { name: "Requests", unit: "Count", help: "Requests within the minute." };
/// Those of them that were answered with a 5xx.
pub const EMF_FAULTS: EmfMetric =
    EmfMetric { name: "Faults", unit: "Count", help: "Requests that were answered with a 5xx." };
/// Their latencies.
pub const EMF_LATENCY: EmfMetric = EmfMetric {
    name: "Latency",
    unit: "Seconds",
    help: "Time to the last byte; each value is the upper bound of its bucket, exact at the edges of the objectives.",
};
/// Whether the canary found no fault.
pub const EMF_SUCCESS_PERCENT: EmfMetric = EmfMetric {
    name: "SuccessPercent",
    unit: "Percent",
    help: "100 when the first attempt succeeded, else 0: of each step, and of the run when all did.",
};
/// Whether it found none that lasted. Of a run only.
pub const EMF_SUCCESS_PERCENT_WITH_RETRIES: EmfMetric = EmfMetric {
    name: "SuccessPercentWithRetries",
    unit: "Percent",
    help: "100 when an attempt at each step succeeded at last, else 0.",
};
/// How long it took.
pub const EMF_DURATION: EmfMetric =
    EmfMetric { name: "Duration", unit: "Milliseconds", help: "Time of a run, or of the last attempt at a step." };
/// Whether it failed.
pub const EMF_FAILED: EmfMetric =
    EmfMetric { name: "Failed", unit: "Count", help: "1 for a run or step that failed for good, else 0." };

/// RED of the service: one line a minute for each route that had requests.
pub const EMF_SERVICE_NAMESPACE: EmfNamespace = EmfNamespace {
    name: "TaskApi",
    metrics: &[EMF_REQUESTS, EMF_FAULTS, EMF_LATENCY],
    dimension_sets: &[&[EMF_SERVICE, EMF_ENVIRONMENT, EMF_ROUTE], &[EMF_SERVICE, EMF_ENVIRONMENT]],
};

/// The canary under the names of CloudWatch Synthetics, so that alarms made for those fit: one line a run.
pub const EMF_CANARY_NAMESPACE: EmfNamespace = EmfNamespace {
    name: "CloudWatchSynthetics",
    metrics: &[EMF_SUCCESS_PERCENT, EMF_SUCCESS_PERCENT_WITH_RETRIES, EMF_DURATION, EMF_FAILED],
    dimension_sets: &[&[EMF_CANARY_NAME], &[EMF_CANARY_NAME, EMF_STEP_NAME]],
};

/// Every namespace that our code writes.
pub const EMF_NAMESPACES: &[&EmfNamespace] = &[&EMF_SERVICE_NAMESPACE, &EMF_CANARY_NAMESPACE];
