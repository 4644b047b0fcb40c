//! The load balancer: what users get, seen from outside the service.

use slo::Slo;
use telemetry::catalogue::EMF_REQUESTS;

use super::super::alarm::{Alarm, Metric, Tells, Threshold, rounded};
use super::burn::{FAILED, TOTAL, balancer_requests};
use super::{balancer, metric, one, service, sums};

const NO_ERRORS: &str = "the error counts exist only where there are errors";
const NO_HOSTS: &str = "hosts are reported as long as one is registered; silence means that none is";
/// Far above what the canary alone sends in five minutes to all addresses: the service does not report synthetic requests.
const REAL_TRAFFIC: u32 = 1_000;

fn targets(name: &'static str) -> Metric {
    let dimensions = [("LoadBalancer", "${LoadBalancer}"), ("TargetGroup", "${TargetGroup}")];
    metric("AWS/ApplicationELB", name, &dimensions)
}

pub(super) fn alarms(slo: &Slo) -> Vec<Alarm> {
    let [r, n, t, e] = balancer_requests();
    let failures = slo.guard_failures;
    let service_share = format!("IF(FILL(by_service,0)>={failures},FILL(by_service,0)/requests,0)");
    let balancer_share = format!("IF(FILL(by_balancer,0)>={failures},FILL(by_balancer,0)/{TOTAL},0)");
    let budget = rounded(1.0 - slo.requests.availability);
    let percent = rounded(budget * 100.0);
    // With more requests an hour so few failures are within the budget.
    let quiet = rounded(f64::from(failures) / budget).ceil();
    let p = format!("p{}", rounded(slo.requests.fast * 100.0));
    let latency = slo.requests.latency;
    let mut slow = Alarm::new("AlbLatencyHigh", Tells::Ticket, one(balancer("TargetResponseTime"), &p))
        .within(3, 5, 60)
        .above(latency)
        .silence_is_good("without requests there is no response time")
        .says(
            format!("{p} of the time until the service sends its first byte is above {latency} s in 3 of 5 minutes."),
            "pages and scripts wait. The body and the load balancer's own queue are not in this figure.",
        )
        .runbook("AlbLatencyHigh");
    // A p99 of fewer than 1000 requests is one of the slowest ten of them.
    slow.low_samples = Some("ignore");
    let mut low = Alarm::new("AlbHealthyHostsLow", Tells::Ticket, one(targets("HealthyHostCount"), "Minimum"))
        .within(5, 5, 60)
        .below(0.0)
        .silence_is_bad(NO_HOSTS)
        .says(
            "For 5 minutes fewer tasks pass the load balancer's health check than should run.",
            "nothing yet; the next failure, or the next peak of traffic, is noticed.",
        )
        .runbook("AlbHealthyHosts");
    low.threshold = Threshold::Parameter("HealthyHostsMin");
    vec![
        Alarm::new("AlbTarget5xx", Tells::Ticket, sums(&[r.clone(), t.clone()], service_share))
            .within(2, 3, 300)
            .above(budget)
            .silence_is_good(NO_ERRORS)
            .says(
                format!("The service answered more than {percent}% of the requests with a 5xx in 2 of 3 five minutes."),
                "their requests fail, with a problem document that has a request id.",
            )
            .runbook("AlbTarget5xx"),
        Alarm::new(
            "AlbOwn5xx",
            Tells::Ticket,
            sums(&[r.clone(), n.clone(), e.clone()], balancer_share),
        )
        .within(2, 3, 300)
        .above(budget)
        .silence_is_good(NO_ERRORS)
        .says(
            format!("The load balancer itself answered more than {percent}% of the requests with a 5xx in 2 of 3 five minutes."),
            "they see the load balancer's bare error page. The service's own metrics do not show it.",
        )
        .runbook("AlbOwn5xx"),
        Alarm::new(
            "AlbQuietHourErrors",
            Tells::Ticket,
            sums(&[r, n, t, e], format!("IF({TOTAL}<{quiet},{FAILED},0)")),
        )
        .within(1, 1, 3600)
        .at_least(f64::from(failures))
        .silence_is_good(NO_ERRORS)
        .says(
            format!("{failures} or more requests failed within an hour of fewer than {quiet}: too few for a burn rate, too many for \
                 the budget."),
            "the few who are awake; it may be everybody as soon as it is day.",
        )
        .runbook("AlbQuietHourErrors"),
        slow,
        Alarm::new("AlbNoHealthyHost", Tells::Page, one(targets("HealthyHostCount"), "Minimum"))
            .within(2, 3, 60)
            .below(1.0)
            .silence_is_bad(NO_HOSTS)
            .says("No task passes the load balancer's health check.", "every request fails with 503.")
            .runbook("AlbHealthyHosts"),
        low,
        Alarm::new("AlbRejectedConnections", Tells::Ticket, one(balancer("RejectedConnectionCount"), "Sum"))
            .within(3, 5, 60)
            .above(0.0)
            .silence_is_good("the count exists only where a connection was refused")
            .says(
                "The load balancer refused connections in 3 of 5 minutes: it has reached its limit.",
                "some cannot connect at all, and no error count shows them.",
            )
            .runbook("AlbRejectedConnections"),
        Alarm::new(
            "EmfSilent",
            Tells::Ticket,
            sums(
                &[("requests", balancer("RequestCount")), ("reported", service(EMF_REQUESTS))],
                format!("IF(FILL(requests,0)>={REAL_TRAFFIC} AND FILL(reported,0)<1,1,0)"),
            ),
        )
        .within(3, 3, 300)
        .at_least(1.0)
        .silence_is_good("without users' requests there is nothing to report")
        .says(
            "For 15 minutes the load balancer has had 1000 requests and more in each five, and the service has reported none.",
            "nothing; but the latency budget and all that reads the service's metrics or logs is blind.",
        )
        .runbook("EmfSilent"),
    ]
}
