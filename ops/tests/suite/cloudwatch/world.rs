//! A deployment as CloudWatch sees it: how it does in a minute, and the metrics that follow from that.

use std::collections::{BTreeMap, BTreeSet};

use ops::cloudwatch::evaluator::{Id, Sample, World};
use ops::cloudwatch::template::{Dimension, Metric, Template};

/// What the canary asks in one run.
const REQUESTS_A_RUN: f64 = 10.0;
/// What the parameters of the template have as their sample.
const CONNECTIONS_MAX: f64 = 112.0;
const MEMORY: f64 = 1_073_741_824.0;
const STORAGE: f64 = 21_474_836_480.0;

/// How a run of the canary ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Run {
    /// Every step at the first attempt, at every address.
    Passes,
    /// Users are served, and an address is down.
    Degraded,
    /// Users are not served.
    Fails,
}

/// How a minute is. Shares are of 1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Minute {
    /// Whether CloudWatch gets anything at all.
    pub(super) data: bool,
    /// Of users.
    pub(super) requests: f64,
    /// Requests that the service answers with a 5xx.
    pub(super) by_service: f64,
    /// Requests that the load balancer answers with 502 for a target.
    pub(super) by_balancer: f64,
    /// Requests for which the load balancer has no target.
    pub(super) no_target: f64,
    /// Requests slower than the objective.
    pub(super) slow: f64,
    pub(super) rejected: f64,
    pub(super) healthy: f64,
    /// How a run of the canary ends; none when it does not run.
    pub(super) canary: Option<Run>,
    pub(super) running: f64,
    pub(super) desired: f64,
    pub(super) deployments: f64,
    /// CPU, memory of the tasks, CPU of the database, CPU and memory of the cache: percent.
    pub(super) cpu: f64,
    pub(super) memory: f64,
    pub(super) database_cpu: f64,
    pub(super) cache_cpu: f64,
    pub(super) cache_memory: f64,
    pub(super) evictions: f64,
    /// Shares of what there is.
    pub(super) connections: f64,
    pub(super) database_memory_free: f64,
    pub(super) storage_free: f64,
    /// Seconds.
    pub(super) disk: f64,
    pub(super) certificate_days: f64,
    pub(super) notifications_failed: f64,
    /// Whether the lines that are metrics arrive.
    pub(super) emf: bool,
    pub(super) emf_errors: f64,
    pub(super) panics: f64,
    pub(super) start_failures: f64,
    pub(super) connect_failures: f64,
    pub(super) token_reuses: f64,
    pub(super) losses: f64,
}

impl Minute {
    /// A good minute of a working day.
    pub(super) const GOOD: Self = Self {
        data: true,
        requests: 6_000.0,
        by_service: 0.0,
        by_balancer: 0.0,
        no_target: 0.0,
        slow: 0.001,
        rejected: 0.0,
        healthy: 2.0,
        canary: Some(Run::Passes),
        running: 2.0,
        desired: 2.0,
        deployments: 1.0,
        cpu: 40.0,
        memory: 50.0,
        database_cpu: 30.0,
        cache_cpu: 10.0,
        cache_memory: 40.0,
        evictions: 0.0,
        connections: 0.2,
        database_memory_free: 0.5,
        storage_free: 0.6,
        disk: 0.002,
        certificate_days: 200.0,
        notifications_failed: 0.0,
        emf: true,
        emf_errors: 0.0,
        panics: 0.0,
        start_failures: 0.0,
        connect_failures: 0.0,
        token_reuses: 0.0,
        losses: 0.0,
    };
}

/// The metrics that the template's alarms read, by name: with the dimensions that the template gives them.
pub(super) struct Metrics(BTreeMap<(String, String), Vec<Id>>);

/// What is sent in a minute.
pub(super) type Sent = Vec<(Id, Vec<Sample>)>;

impl Metrics {
    pub(super) fn of(template: &Template, world: &mut World) -> Self {
        let mut metrics: BTreeMap<(String, String), Vec<Id>> = BTreeMap::new();
        let single = template.alarms.values().filter_map(|alarm| {
            Some(Metric {
                namespace: alarm.namespace.clone()?,
                metric_name: alarm.metric_name.clone()?,
                dimensions: alarm.dimensions.clone(),
            })
        });
        let queries = template.alarms.values().flat_map(|alarm| &alarm.metrics);
        let math = queries.filter_map(|query| Some(query.metric_stat.as_ref()?.metric.clone()));
        for metric in single.chain(math) {
            let known = metrics.entry((metric.namespace.clone(), metric.metric_name.clone())).or_default();
            let id = world.id(&metric);
            if !known.contains(&id) {
                known.push(id);
            }
        }
        Self(metrics)
    }

    /// Lets the metrics of each namespace arrive so many minutes late.
    pub(super) fn deliver_late(&self, world: &mut World, minutes: fn(&str) -> usize) {
        for ((namespace, _), ids) in &self.0 {
            ids.iter().for_each(|id| world.deliver_late(*id, minutes(namespace)));
        }
    }

    /// What is sent in such a minute; `run` says whether the canary's interval begins in it. Every metric that an alarm
    /// reads is known here, or the test that asks fails.
    pub(super) fn sent(&self, minute: &Minute, run: bool) -> Sent {
        let (mut sent, mut names) = (Sent::new(), BTreeSet::new());
        if !minute.data {
            return sent;
        }
        let mut send = |namespace: &str, name: &str, samples: &[Sample]| {
            let key = (namespace.to_owned(), name.to_owned());
            let ids = self.0.get(&key).unwrap_or_else(|| panic!("no alarm reads {namespace} {name}"));
            sent.extend(ids.iter().map(|id| (*id, samples.to_vec())));
            names.insert(key);
        };
        let served = matches!(minute.canary, Some(Run::Passes | Run::Degraded));
        let canary = if run && served { REQUESTS_A_RUN } else { 0.0 };
        let all = minute.requests + canary;
        let (no_target, by_service, by_balancer) =
            ((all * minute.no_target).round(), (all * minute.by_service).round(), (all * minute.by_balancer).round());
        let reached = all - no_target;
        let answered = reached - by_balancer;
        // A count is sent where there is something to count.
        let count = |count: f64| if count > 0.0 { vec![Sample::once(count)] } else { Vec::new() };
        let times = |of: f64| {
            let slow = (of * minute.slow).round();
            vec![Sample { value: 0.05, count: of - slow }, Sample { value: 0.5, count: slow }]
        };
        let elb = "AWS/ApplicationELB";
        send(elb, "RequestCount", &count(reached));
        send(elb, "HTTPCode_ELB_503_Count", &count(no_target));
        send(elb, "HTTPCode_ELB_5XX_Count", &count(no_target + by_balancer));
        send(elb, "HTTPCode_Target_5XX_Count", &count(by_service));
        send(elb, "TargetResponseTime", &times(answered));
        send(elb, "RejectedConnectionCount", &count(minute.rejected));
        send(elb, "HealthyHostCount", &[Sample::once(minute.healthy)]);
        // The service keeps synthetic requests out of what it reports.
        let own = if minute.emf { (answered - canary).max(0.0) } else { 0.0 };
        send("TaskApi", "Requests", &count(own));
        send("TaskApi", "Latency", &times(own));
        // As the canary's own lines have it: an address that is down lowers the one and not the other.
        let percent = |good: fn(Run) -> bool| {
            let ended = minute.canary.filter(|_| run);
            ended.map(|ended| Sample::once(if good(ended) { 100.0 } else { 0.0 })).into_iter().collect::<Vec<_>>()
        };
        let synthetics = "CloudWatchSynthetics";
        send(synthetics, "SuccessPercent", &percent(|ended| ended == Run::Passes));
        send(synthetics, "SuccessPercentWithRetries", &percent(|ended| ended != Run::Fails));
        send("ECS/ContainerInsights", "DesiredTaskCount", &[Sample::once(minute.desired)]);
        send("ECS/ContainerInsights", "RunningTaskCount", &[Sample::once(minute.running)]);
        send("ECS/ContainerInsights", "DeploymentCount", &[Sample::once(minute.deployments)]);
        send("AWS/ECS", "CPUUtilization", &[Sample::once(minute.cpu)]);
        send("AWS/ECS", "MemoryUtilization", &[Sample::once(minute.memory)]);
        let rds = "AWS/RDS";
        send(rds, "CPUUtilization", &[Sample::once(minute.database_cpu)]);
        send(rds, "DatabaseConnections", &[Sample::once(minute.connections * CONNECTIONS_MAX)]);
        send(rds, "FreeableMemory", &[Sample::once(minute.database_memory_free * MEMORY)]);
        send(rds, "FreeStorageSpace", &[Sample::once(minute.storage_free * STORAGE)]);
        send(rds, "ReadLatency", &[Sample::once(minute.disk)]);
        send(rds, "WriteLatency", &[Sample::once(minute.disk)]);
        let redis = "AWS/ElastiCache";
        send(redis, "EngineCPUUtilization", &[Sample::once(minute.cache_cpu)]);
        send(redis, "DatabaseMemoryUsagePercentage", &[Sample::once(minute.cache_memory)]);
        send(redis, "Evictions", &[Sample::once(minute.evictions)]);
        send("AWS/CertificateManager", "DaysToExpiry", &[Sample::once(minute.certificate_days)]);
        send("AWS/SNS", "NumberOfNotificationsFailed", &count(minute.notifications_failed));
        send("AWS/Logs", "EMFParsingErrors", &count(minute.emf_errors));
        send("AWS/Logs", "EMFValidationErrors", &[]);
        send("TaskApi", "Panics", &count(minute.panics));
        send("TaskApi", "StartFailures", &count(minute.start_failures));
        send("TaskApi", "DatabaseConnectFailures", &count(minute.connect_failures));
        send("TaskApi", "TokenReuses", &count(minute.token_reuses));
        send("TaskApi", "TelemetryLosses", &count(minute.losses));
        assert_eq!(names, self.0.keys().cloned().collect(), "an alarm reads what this world does not send");
        sent
    }
}

/// A dimension.
pub(super) fn dimension(name: &str, value: &str) -> Dimension {
    Dimension { name: name.to_owned(), value: value.to_owned() }
}
