//! Every alarm and composite, by what it looks at. Limits that users notice follow from `slo.toml`; those of a resource
//! stand beside their alarm with their reason.

mod balancer;
mod burn;
mod canary;
mod logs;
mod resources;
mod storage;

pub(crate) use burn::{FAILED, TOTAL};
pub(crate) use logs::{FILTERS, Filter};

use slo::Slo;
use telemetry::catalogue::{
    EMF_CANARY_NAME, EMF_CANARY_NAMESPACE, EMF_ENVIRONMENT, EMF_SERVICE, EmfMetric, EmfNamespace,
};

use super::alarm::{Alarm, Composite, Metric, Watches};

/// All alarms, in the order of the template.
pub(crate) fn alarms(slo: &Slo) -> Vec<Alarm> {
    let mut alarms = burn::alarms(slo);
    alarms.extend(balancer::alarms(slo));
    alarms.extend(canary::alarms(slo));
    alarms.extend(resources::alarms());
    alarms.extend(storage::alarms(slo));
    alarms.extend(logs::alarms());
    alarms
}

/// All composites, in the order of the template.
pub(crate) fn composites(slo: &Slo) -> Vec<Composite> {
    let mut composites = burn::composites(slo);
    composites.push(canary::unreachable());
    composites
}

fn metric(namespace: &str, name: &'static str, dimensions: &[(&'static str, &'static str)]) -> Metric {
    Metric { namespace: namespace.to_owned(), name, dimensions: dimensions.to_vec() }
}

/// A metric of the load balancer, whatever the target group.
fn balancer(name: &'static str) -> Metric {
    metric("AWS/ApplicationELB", name, &[("LoadBalancer", "${LoadBalancer}")])
}

/// A metric of the service's own, whatever the route.
fn service(emf: EmfMetric) -> Metric {
    logged(emf.name)
}

/// A metric that a filter makes of log lines.
fn logged(name: &'static str) -> Metric {
    let dimensions = [(EMF_SERVICE, "${Service}"), (EMF_ENVIRONMENT, "${Environment}")];
    metric("${MetricsNamespace}", name, &dimensions)
}

/// A metric of the canary's whole run.
fn canary_run(emf: EmfMetric) -> Metric {
    let EmfNamespace { name, .. } = EMF_CANARY_NAMESPACE;
    metric(name, emf.name, &[(EMF_CANARY_NAME, "${CanaryName}")])
}

fn one(metric: Metric, statistic: &str) -> Watches {
    Watches::One(metric, statistic.to_owned())
}

fn sums(metrics: &[(&'static str, Metric)], expression: impl Into<String>) -> Watches {
    let metrics = metrics.iter().map(|(id, metric)| (*id, metric.clone(), "Sum".to_owned())).collect();
    Watches::Math { metrics, expression: expression.into() }
}
