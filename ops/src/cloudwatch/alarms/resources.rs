//! What the service runs on: its tasks, its certificate, and the path on which alarms reach people.

use super::super::alarm::{Alarm, Comparison, Metric, Tells, Threshold};
use super::{metric, one, sums};

const NO_TASKS: &str = "without tasks nothing is measured; that they are missing is told by EcsTasksMissing";
/// Percent. Above it a task that takes over another's share has no room.
const BUSY: f64 = 80.0;
/// Days. ACM renews 60 days ahead; two weeks later it still has not.
const RENEWAL_OVERDUE_DAYS: f64 = 44.0;
/// Days. The canary fails at the same figure.
const EXPIRES_DAYS: f64 = 7.0;
const DAY: u64 = 86_400;

const TASKS: [(&str, &str); 2] = [("ClusterName", "${ClusterName}"), ("ServiceName", "${EcsServiceName}")];

fn tasks(name: &'static str) -> Metric {
    metric("AWS/ECS", name, &TASKS)
}

fn insights(name: &'static str) -> Metric {
    metric("ECS/ContainerInsights", name, &TASKS)
}

fn topic(name: &'static str, value: &'static str) -> Metric {
    metric("AWS/SNS", name, &[("TopicName", value)])
}

fn certificate(name: &str, tells: Tells, days: f64, impact: &'static str) -> Alarm {
    let metric = metric("AWS/CertificateManager", "DaysToExpiry", &[("CertificateArn", "${CertificateArn}")]);
    Alarm::new(name, tells, one(metric, "Minimum"))
        .within(1, 1, DAY)
        .at_most(days)
        .silence_is_bad("ACM stops to report a certificate once it has expired")
        .says(format!("The certificate of the load balancer expires within {days} days and was not renewed."), impact)
        .runbook("CertificateExpiring")
}

pub(super) fn alarms() -> Vec<Alarm> {
    let average = |name: &str, metric: &'static str, says: &str, impact: &'static str, runbook: &'static str| {
        Alarm::new(name, Tells::Ticket, one(tasks(metric), "Average"))
            .within(5, 5, 60)
            .above(BUSY)
            .silence_is_good(NO_TASKS)
            .says(says, impact)
            .runbook(runbook)
    };
    let lost = "NumberOfNotificationsFailed";
    let mut alarms = vec![
        average(
            "EcsCpuHigh",
            "CPUUtilization",
            "The tasks have used more than 80% of their CPU for 5 minutes.",
            "requests become slow, and then are refused with 503.",
            "EcsCpuHigh",
        ),
        average(
            "EcsMemoryHigh",
            "MemoryUtilization",
            "The tasks have used more than 80% of their memory for 5 minutes.",
            "at 100% a task is killed in the middle of its requests.",
            "EcsMemoryHigh",
        ),
        Alarm::new(
            "EcsTasksMissing",
            Tells::Ticket,
            super::Watches::Math {
                metrics: vec![
                    ("desired", insights("DesiredTaskCount"), "Average".to_owned()),
                    ("running", insights("RunningTaskCount"), "Average".to_owned()),
                ],
                expression: "desired-running".to_owned(),
            },
        )
        .within(5, 5, 60)
        .above(0.0)
        .silence_is_bad("both counts are reported every minute; without them this alarm would be blind")
        .says(
            "For 5 minutes fewer tasks run than are desired.",
            "nothing while the others carry the load; a deployment does not get on.",
        )
        .runbook("EcsTasksMissing"),
        Alarm::new("EcsDeploymentStuck", Tells::Ticket, one(insights("DeploymentCount"), "Maximum"))
            .within(30, 30, 60)
            .above(1.0)
            .silence_is_good("that the counts are missing is told by EcsTasksMissing")
            .says(
                "For 30 minutes two versions have been running side by side: a deployment neither ends nor is rolled back.",
                "half of them may meet the version that does not come up.",
            )
            .runbook("EcsDeploymentStuck"),
        certificate(
            "CertificateExpiring",
            Tells::Ticket,
            RENEWAL_OVERDUE_DAYS,
            "nothing yet; on the day itself every client refuses to connect.",
        ),
        certificate(
            "CertificateAlmostExpired",
            Tells::Page,
            EXPIRES_DAYS,
            "within days every client refuses to connect, all at once.",
        ),
    ];
    let mut path = Alarm::new(
        "SnsNotificationsFailed",
        Tells::Both,
        sums(
            &[("pages", topic(lost, "${PageTopic.TopicName}")), ("tickets", topic(lost, "${TicketTopic.TopicName}"))],
            "FILL(pages,0)+FILL(tickets,0)",
        ),
    )
    .within(1, 1, 300)
    .silence_is_good("SNS counts only where it has sent something")
    .says(
        "SNS could not deliver a notification of an alarm.",
        "nothing; but somebody was not told of an alarm that had fired.",
    )
    .runbook("SnsNotificationsFailed");
    (path.comparison, path.threshold) = (Comparison::Above, Threshold::Number(0.0));
    alarms.push(path);
    alarms
}
