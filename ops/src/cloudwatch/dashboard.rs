//! The CloudWatch dashboard: what users notice on top, below it what the service runs on, then the path of its telemetry.

use slo::Slo;
use telemetry::catalogue::{
    EMF_CANARY_NAME, EMF_CANARY_NAMESPACE, EMF_DURATION, EMF_ENVIRONMENT, EMF_FAULTS, EMF_LATENCY, EMF_REQUESTS,
    EMF_ROUTE, EMF_SERVICE, EMF_SUCCESS_PERCENT, EMF_SUCCESS_PERCENT_WITH_RETRIES, EmfMetric,
};

use super::alarm::{Tells, rounded};
use super::alarms::{self, FAILED, FILTERS, TOTAL};
use super::node::{Node, flow, map, text};
use super::queries::QUERIES;
use super::render::PREFIX;

/// CloudWatch's grid.
const COLUMNS: u32 = 24;
const HEIGHT: u32 = 6;

const BALANCER: &[&str] = &["LoadBalancer", "${LoadBalancer}"];
const TARGETS: &[&str] = &["LoadBalancer", "${LoadBalancer}", "TargetGroup", "${TargetGroup}"];
const TASKS: &[&str] = &["ClusterName", "${ClusterName}", "ServiceName", "${EcsServiceName}"];
const DATABASE: &[&str] = &["DBInstanceIdentifier", "${DatabaseInstance}"];
const CACHE: &[&str] = &["CacheClusterId", "${CacheCluster}", "CacheNodeId", "${CacheNode}"];
const SERVICE: &[&str] = &[EMF_SERVICE, "${Service}", EMF_ENVIRONMENT, "${Environment}"];
const CANARY: &[&str] = &[EMF_CANARY_NAME, "${CanaryName}"];
const OWN: &str = "${MetricsNamespace}";

/// Puts widgets side by side, and begins a row where one does not fit.
#[derive(Default)]
struct Board {
    widgets: Vec<Node>,
    x: u32,
    y: u32,
    row: u32,
}

impl Board {
    fn add(&mut self, kind: &str, width: u32, height: u32, properties: Vec<(&'static str, Node)>) {
        if self.x + width > COLUMNS {
            (self.x, self.y, self.row) = (0, self.y + self.row, 0);
        }
        let number = |number: u32| Node::Number(f64::from(number));
        self.widgets.push(map([
            ("type", text(kind)),
            ("x", number(self.x)),
            ("y", number(self.y)),
            ("width", number(width)),
            ("height", number(height)),
            ("properties", map(properties)),
        ]));
        (self.x, self.row) = (self.x + width, self.row.max(height));
    }

    /// A graph of lines; `limit` is drawn across it.
    fn graph(&mut self, title: &str, unit: &str, lines: Vec<Node>, limit: Option<(f64, &str)>) {
        let mut properties = vec![
            ("title", text(title)),
            ("region", text("${AWS::Region}")),
            ("view", text("timeSeries")),
            ("period", Node::Number(60.0)),
            ("metrics", Node::List(lines)),
            (
                "yAxis",
                flow([(
                    "left",
                    map([("min", Node::Number(0.0)), ("label", text(unit)), ("showUnits", Node::Truth(false))]),
                )]),
            ),
        ];
        if let Some((value, label)) = limit {
            let line = flow([("value", Node::Number(value)), ("label", text(label))]);
            properties.push(("annotations", map([("horizontal", Node::List(vec![line]))])));
        }
        self.add("metric", COLUMNS / 3, HEIGHT, properties);
    }

    fn heading(&mut self, markdown: &str) {
        self.add("text", COLUMNS, 1, vec![("markdown", text(markdown)), ("background", text("transparent"))]);
    }

    fn question(&mut self, id: &str) {
        let Some(query) = QUERIES.iter().find(|query| query.id == id) else { return };
        self.add(
            "log",
            COLUMNS / 2,
            HEIGHT,
            vec![
                ("title", text(query.name)),
                ("region", text("${AWS::Region}")),
                ("view", text("table")),
                ("query", text(format!("SOURCE '${{LogGroupName}}' | {}", query.text.replace('\n', " ")))),
            ],
        );
    }
}

fn line(namespace: &str, name: &str, dimensions: &[&str], options: &[(&'static str, &str)]) -> Node {
    let mut cells = vec![text(namespace), text(name)];
    cells.extend(dimensions.iter().map(|&cell| text(cell)));
    cells.push(flow(options.iter().map(|(key, value)| option(key, value))));
    Node::Flow(Box::new(Node::List(cells)))
}

fn option<'a>(key: &'a str, value: &str) -> (&'a str, Node) {
    (key, if key == "visible" { Node::Truth(value == "true") } else { text(value) })
}

fn expression(expression: &str, id: &str, label: &str) -> Node {
    let cells = flow([("expression", text(expression)), ("id", text(id)), ("label", text(label))]);
    Node::Flow(Box::new(Node::List(vec![cells])))
}

/// A line for each route that has reported.
fn by_route(emf: EmfMetric, statistic: &str) -> Node {
    let search = format!(
        "SEARCH('{{{OWN},{EMF_SERVICE},{EMF_ENVIRONMENT},{EMF_ROUTE}}} MetricName=\"{}\" {EMF_SERVICE}=\"${{Service}}\" \
         {EMF_ENVIRONMENT}=\"${{Environment}}\"', '{statistic}', 60)",
        emf.name,
    );
    // Without a label CloudWatch names each line by what is different, which is the route.
    let cells = flow([("expression", text(search)), ("id", text("routes"))]);
    Node::Flow(Box::new(Node::List(vec![cells])))
}

/// The body, with `${Parameter}` where the template fills in.
pub(crate) fn body(slo: &Slo) -> String {
    let mut board = Board::default();
    board.add("text", COLUMNS, 2, vec![("markdown", text(format!(
        "# ${{Service}} in ${{Environment}}\nRendered by `cargo run -p ops -- render` from slo.toml. Runbooks: {}. \
         Good is: no alarm, errors and response times below their lines, as many tasks as desired.",
        slo.links.runbooks,
    )))]);
    alarm_list(&mut board, slo);
    users(&mut board, slo);
    resources(&mut board, slo);
    telemetry(&mut board);
    map([("widgets", Node::List(board.widgets))]).to_json()
}

fn alarm_list(board: &mut Board, slo: &Slo) {
    let composites = alarms::composites(slo).into_iter().map(|composite| composite.name);
    let pages = alarms::alarms(slo).into_iter().filter(|alarm| alarm.tells == Tells::Page && alarm.condition.is_none());
    let names = composites.chain(pages.map(|alarm| alarm.name));
    let arn = |name: String| {
        text(format!("arn:${{AWS::Partition}}:cloudwatch:${{AWS::Region}}:${{AWS::AccountId}}:alarm:{PREFIX}{name}"))
    };
    let flow = |arn| Node::Flow(Box::new(arn));
    let arns = Node::List(names.map(arn).map(flow).collect());
    board.add("alarm", COLUMNS, 3, vec![("title", text("What calls somebody")), ("alarms", arns)]);
}

fn users(board: &mut Board, slo: &Slo) {
    let latency = slo.requests.latency;
    let p = format!("p{}", rounded(slo.requests.fast * 100.0));
    let elb = |name: &str, options: &[(&'static str, &str)]| line("AWS/ApplicationELB", name, BALANCER, options);
    let hidden = |name: &str, id: &str| elb(name, &[("id", id), ("stat", "Sum"), ("visible", "false")]);
    board.heading("## What users notice");
    board.graph(
        "Requests each minute",
        "requests",
        vec![
            elb("RequestCount", &[("stat", "Sum"), ("label", "load balancer")]),
            line(OWN, EMF_REQUESTS.name, SERVICE, &[("stat", "Sum"), ("label", "service")]),
        ],
        None,
    );
    board.graph(
        "Errors",
        "% of requests",
        vec![
            expression(&format!("IF({TOTAL}>0,100*{FAILED}/{TOTAL},0)"), "share", "5xx"),
            hidden("RequestCount", "requests"),
            hidden("HTTPCode_ELB_503_Count", "no_target"),
            hidden("HTTPCode_Target_5XX_Count", "by_service"),
            hidden("HTTPCode_ELB_5XX_Count", "by_balancer"),
        ],
        Some((rounded(100.0 * (1.0 - slo.requests.availability)), "objective")),
    );
    board.graph(
        "Response time",
        "seconds",
        vec![
            elb("TargetResponseTime", &[("stat", &p), ("label", "to the first byte, load balancer")]),
            line(OWN, EMF_LATENCY.name, SERVICE, &[("stat", &p), ("label", "to the last byte, service")]),
            line(OWN, EMF_LATENCY.name, SERVICE, &[("stat", "p50"), ("label", "median, service")]),
        ],
        Some((latency, "objective")),
    );
    board.graph("Requests by route", "requests", vec![by_route(EMF_REQUESTS, "Sum")], None);
    board.graph("Failures by route", "requests", vec![by_route(EMF_FAULTS, "Sum")], None);
    board.graph("Response time by route", "seconds", vec![by_route(EMF_LATENCY, &p)], Some((latency, "objective")));
    board.graph(
        "Canary",
        "% of runs",
        [(EMF_SUCCESS_PERCENT_WITH_RETRIES, "passed"), (EMF_SUCCESS_PERCENT, "at first")]
            .map(|(emf, label)| {
                line(EMF_CANARY_NAMESPACE.name, emf.name, CANARY, &[("stat", "Average"), ("label", label)])
            })
            .to_vec(),
        Some((rounded(slo.canary.success * 100.0), "objective")),
    );
    board.graph(
        "Canary's time",
        "milliseconds",
        vec![line(EMF_CANARY_NAMESPACE.name, EMF_DURATION.name, CANARY, &[("stat", "Maximum"), ("label", "a run")])],
        None,
    );
    board.graph(
        "Healthy tasks",
        "tasks",
        vec![
            line("AWS/ApplicationELB", "HealthyHostCount", TARGETS, &[("stat", "Minimum"), ("label", "healthy")]),
            line("ECS/ContainerInsights", "RunningTaskCount", TASKS, &[("stat", "Average"), ("label", "running")]),
            line("ECS/ContainerInsights", "DesiredTaskCount", TASKS, &[("stat", "Average"), ("label", "desired")]),
        ],
        None,
    );
}

fn resources(board: &mut Board, slo: &Slo) {
    let rds =
        |name: &str, stat: &str, label: &str| line("AWS/RDS", name, DATABASE, &[("stat", stat), ("label", label)]);
    let redis =
        |name: &str, stat: &str, label: &str| line("AWS/ElastiCache", name, CACHE, &[("stat", stat), ("label", label)]);
    board.heading("## What it runs on");
    board.graph(
        "Tasks",
        "%",
        vec![
            line("AWS/ECS", "CPUUtilization", TASKS, &[("stat", "Average"), ("label", "CPU")]),
            line("AWS/ECS", "MemoryUtilization", TASKS, &[("stat", "Average"), ("label", "memory")]),
        ],
        None,
    );
    board.graph(
        "Database: CPU and connections",
        "% and connections",
        vec![rds("CPUUtilization", "Average", "CPU"), rds("DatabaseConnections", "Average", "connections")],
        None,
    );
    board.graph(
        "Database: disk",
        "seconds",
        vec![rds("ReadLatency", "p90", "read"), rds("WriteLatency", "p90", "write")],
        Some((rounded(slo.database.latency / 2.0), "half of what an operation may take")),
    );
    board.graph("Database: free storage", "bytes", vec![rds("FreeStorageSpace", "Minimum", "free")], None);
    board.graph("Database: free memory", "bytes", vec![rds("FreeableMemory", "Average", "free")], None);
    board.graph(
        "Cache",
        "%",
        vec![
            redis("EngineCPUUtilization", "Average", "CPU"),
            redis("DatabaseMemoryUsagePercentage", "Average", "memory"),
        ],
        None,
    );
}

fn telemetry(board: &mut Board) {
    board.heading("## What the service tells");
    let counted =
        FILTERS.iter().map(|filter| line(OWN, filter.metric, SERVICE, &[("stat", "Sum"), ("label", filter.metric)]));
    board.graph("Log lines that matter", "lines", counted.collect(), None);
    board.graph(
        "Log lines",
        "lines",
        vec![line(
            "AWS/Logs",
            "IncomingLogEvents",
            &["LogGroupName", "${LogGroupName}"],
            &[("stat", "Sum"), ("label", "arrived")],
        )],
        None,
    );
    board.graph(
        "Certificate",
        "days",
        vec![line(
            "AWS/CertificateManager",
            "DaysToExpiry",
            &["CertificateArn", "${CertificateArn}"],
            &[("stat", "Minimum"), ("label", "left")],
        )],
        None,
    );
    board.question("QueryErrorsByRoute");
    board.question("QuerySlowestRequests");
}
