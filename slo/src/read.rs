//! The file's shape, and what each value may be.

use serde::Deserialize;
use toml::Spanned;

use super::{
    Burn, Canary, DATABASE_EDGES, Database, Error, Links, Load, Period, REQUEST_EDGES, Requests, Severity, Slo,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    window: Spanned<String>,
    requests: RequestsTable,
    database: DatabaseTable,
    load: LoadTable,
    canary: CanaryTable,
    logs: LogsTable,
    burn: Spanned<Vec<BurnTable>>,
    guard: GuardTable,
    links: LinksTable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LinksTable {
    runbooks: Spanned<String>,
    dashboards: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestsTable {
    availability: Spanned<f64>,
    fast: Spanned<f64>,
    latency: Spanned<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DatabaseTable {
    fast: Spanned<f64>,
    latency: Spanned<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LoadTable {
    rate: Spanned<f64>,
    errors: Spanned<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CanaryTable {
    interval: Spanned<String>,
    success: Spanned<f64>,
    latency: Spanned<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LogsTable {
    delivered: Spanned<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GuardTable {
    failures: Spanned<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BurnTable {
    severity: Spanned<String>,
    budget: Spanned<f64>,
    long: Spanned<String>,
    short: Spanned<String>,
}

const PERIOD: &str = "a whole number and a unit, s, m, h or d: \"90s\", \"5m\", \"30d\"";
const OBJECTIVE: &str = "a share from 0.5 to 0.99999";
const BUDGET: &str = "a share from 0.0001 to 1";
const RATE: &str = "requests/s from 1 to 100000";
const ERRORS: &str = "a share from 0 to 0.5";
const STEP: &str = "seconds from 0.001 to 60";
const COUNT: &str = "a whole number from 1 to 1000";
const SEVERITY: &str = "\"page\" or \"ticket\"";
const LINK: &str = "https://…, without a slash at its end";

/// What a key takes; nothing for one that there is not.
fn accepted(key: &str) -> Option<String> {
    let text = match key {
        "window" | "canary.interval" | "burn.long" | "burn.short" => PERIOD,
        "requests.availability" | "requests.fast" | "database.fast" | "canary.success" | "logs.delivered" => OBJECTIVE,
        "requests.latency" => return Some(edge_of(REQUEST_EDGES)),
        "database.latency" => return Some(edge_of(DATABASE_EDGES)),
        "burn.budget" => BUDGET,
        "burn.severity" => SEVERITY,
        "load.rate" => RATE,
        "load.errors" => ERRORS,
        "canary.latency" => STEP,
        "guard.failures" => COUNT,
        "links.runbooks" | "links.dashboards" => LINK,
        _ => return None,
    };
    Some(text.to_owned())
}

fn edge_of(edges: &[f64]) -> String {
    let edges: Vec<String> = edges.iter().map(f64::to_string).collect();
    format!("seconds that are an edge of the histogram: {}", edges.join(", "))
}

/// What the parser says, and for a value of another type what a value that is refused later says too.
fn unparsed(text: &str, error: &toml::de::Error) -> String {
    let plain = || error.message().replace('\n', "; ");
    let Some(span) = error.span().filter(|_| error.message().starts_with("invalid type")) else { return plain() };
    let (Some(before), Some(value)) = (text.get(..span.start), text.get(span)) else { return plain() };
    let line = before.lines().next_back().unwrap_or_default();
    let table = before.lines().rev().find_map(|line| line.trim().strip_prefix('[')?.split(']').next());
    let table = table.map(|name| format!("{}.", name.trim_start_matches('['))).unwrap_or_default();
    let key = line.split('=').next().unwrap_or_default().trim();
    let key = format!("{table}{key}");
    accepted(&key).map_or_else(plain, |accepted| format!("{key} is {value}; it takes {accepted}"))
}

pub(crate) fn parse(text: &str, name: &str) -> Result<Slo, Error> {
    let file: File = toml::from_str(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        Error::at(name, text, offset, &unparsed(text, &error))
    })?;
    let source = Source { text, name };
    let window = source.period("window", &file.window)?;
    if window.seconds() < 86_400 {
        return Err(source.refuse("window", &file.window, "at least 1d"));
    }
    let canary_interval = source.period("canary.interval", &file.canary.interval)?;
    let burn = source.burns(&file.burn, window)?;
    let objective = |key: &str, value: &Spanned<f64>| {
        let share = source.objective(key, value)?;
        source.reachable(key, value, &burn, window)?;
        Ok(share)
    };
    Ok(Slo {
        window,
        requests: Requests {
            availability: objective("requests.availability", &file.requests.availability)?,
            fast: objective("requests.fast", &file.requests.fast)?,
            latency: source.edge("requests.latency", &file.requests.latency, REQUEST_EDGES)?,
        },
        database: Database {
            fast: objective("database.fast", &file.database.fast)?,
            latency: source.edge("database.latency", &file.database.latency, DATABASE_EDGES)?,
        },
        load: Load {
            rate: source.within("load.rate", &file.load.rate, 1.0, 100_000.0, RATE)?,
            errors: source.within("load.errors", &file.load.errors, 0.0, 0.5, ERRORS)?,
        },
        canary: Canary {
            interval: canary_interval,
            success: objective("canary.success", &file.canary.success)?,
            latency: source.within("canary.latency", &file.canary.latency, 0.001, 60.0, STEP)?,
        },
        logs_delivered: objective("logs.delivered", &file.logs.delivered)?,
        burn,
        guard_failures: source.count("guard.failures", &file.guard.failures)?,
        links: Links {
            runbooks: source.link("links.runbooks", &file.links.runbooks)?,
            dashboards: source.link("links.dashboards", &file.links.dashboards)?,
        },
    })
}

struct Source<'a> {
    text: &'a str,
    name: &'a str,
}

impl Source<'_> {
    fn refuse<T: std::fmt::Debug>(&self, key: &str, value: &Spanned<T>, accepted: &str) -> Error {
        let message = format!("{key} is {:?}; it takes {accepted}", value.get_ref());
        Error::at(self.name, self.text, value.span().start, &message)
    }

    fn period(&self, key: &str, value: &Spanned<String>) -> Result<Period, Error> {
        let refuse = |()| self.refuse(key, value, PERIOD);
        value.get_ref().parse().map_err(refuse)
    }

    /// An objective of 1 leaves no budget, so nothing could ever be said about how fast it burns.
    fn objective(&self, key: &str, value: &Spanned<f64>) -> Result<f64, Error> {
        self.within(key, value, 0.5, 0.999_99, OBJECTIVE)
    }

    /// A burn rate whose threshold is all of the events, or more, would be an alert that never fires.
    fn reachable(&self, key: &str, value: &Spanned<f64>, burns: &[Burn], window: Period) -> Result<(), Error> {
        let Some(burn) = burns.iter().find(|burn| burn.factor(window) * (1.0 - value.get_ref()) >= 1.0) else {
            return Ok(());
        };
        let factor = burn.factor(window);
        let accepted = format!(
            "a share above {:.4}: the burn rate over {} is {factor:.1} times what the objective leaves, and no more than \
             all events can be bad",
            1.0 - 1.0 / factor,
            burn.long
        );
        Err(self.refuse(key, value, &accepted))
    }

    fn within(&self, key: &str, value: &Spanned<f64>, from: f64, to: f64, accepted: &str) -> Result<f64, Error> {
        let number = *value.get_ref();
        if (from..=to).contains(&number) { Ok(number) } else { Err(self.refuse(key, value, accepted)) }
    }

    fn edge(&self, key: &str, value: &Spanned<f64>, edges: &[f64]) -> Result<f64, Error> {
        if edges.contains(value.get_ref()) {
            return Ok(*value.get_ref());
        }
        Err(self.refuse(key, value, &edge_of(edges)))
    }

    fn count(&self, key: &str, value: &Spanned<f64>) -> Result<u32, Error> {
        let number = self.within(key, value, 1.0, 1000.0, COUNT)?;
        if number.fract() == 0.0 { Ok(number as u32) } else { Err(self.refuse(key, value, "a whole number")) }
    }

    fn link(&self, key: &str, value: &Spanned<String>) -> Result<String, Error> {
        let link = value.get_ref();
        let scheme = link.starts_with("https://") || link.starts_with("http://");
        // What stands in quotes in YAML, JSON and an alarm's text must not end them.
        let plain = link.chars().all(|c| c.is_ascii_graphic() && !"\"'\\<>{}$|".contains(c)) && !link.ends_with('/');
        if scheme && plain { Ok(link.clone()) } else { Err(self.refuse(key, value, LINK)) }
    }

    fn burns(&self, tables: &Spanned<Vec<BurnTable>>, window: Period) -> Result<Vec<Burn>, Error> {
        if tables.get_ref().is_empty() {
            return Err(Error::at(self.name, self.text, tables.span().start, "burn is empty; it takes at least one"));
        }
        tables.get_ref().iter().map(|table| self.burn(table, window)).collect()
    }

    fn burn(&self, table: &BurnTable, window: Period) -> Result<Burn, Error> {
        let severity = match table.severity.get_ref().as_str() {
            "page" => Severity::Page,
            "ticket" => Severity::Ticket,
            _ => return Err(self.refuse("burn.severity", &table.severity, SEVERITY)),
        };
        let burn = Burn {
            severity,
            budget: self.within("burn.budget", &table.budget, 0.000_1, 1.0, BUDGET)?,
            long: self.period("burn.long", &table.long)?,
            short: self.period("burn.short", &table.short)?,
        };
        if burn.long > window {
            return Err(self.refuse("burn.long", &table.long, &format!("at most the window of {window}")));
        }
        if burn.short >= burn.long {
            return Err(self.refuse("burn.short", &table.short, &format!("less than long, {}", burn.long)));
        }
        if burn.factor(window) < 1.0 {
            let accepted = "a share at which the budget burns at least evenly: budget * window / long is 1 or more";
            return Err(self.refuse("burn.budget", &table.budget, accepted));
        }
        Ok(burn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = include_str!("../../slo.toml");

    fn refused(from: &str, to: &str) -> String {
        assert!(FILE.contains(from), "{from}");
        parse(&FILE.replacen(from, to, 1), "slo.toml").expect_err(to).to_string()
    }

    #[test]
    fn the_file_of_the_repository_holds_the_objectives_we_promise() {
        let slo = parse(FILE, "slo.toml").expect("valid");
        assert_eq!((slo.requests.availability, slo.requests.fast, slo.requests.latency), (0.999, 0.99, 0.2));
        let factors: Vec<f64> = slo.burn.iter().map(|burn| burn.factor(slo.window)).collect();
        let expected = [14.4, 6.0, 3.0, 1.0];
        assert!(factors.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9), "{factors:?}");
        assert_eq!(slo.requests_min(&slo.burn[0], slo.requests.availability), 348);
    }

    #[test]
    fn a_refusal_names_line_key_value_and_what_is_accepted() {
        let line = |key: &str| FILE.lines().position(|line| line.starts_with(key)).expect(key) + 1;
        let cases = [
            (
                "availability = 0.999",
                "availability = 1.0",
                "availability",
                "requests.availability is 1.0; it takes a share",
            ),
            (
                "latency = 0.2 ",
                "latency = 0.3 ",
                "latency",
                "requests.latency is 0.3; it takes seconds that are an edge",
            ),
            (
                "window = \"30d\"",
                "window = \"month\"",
                "window",
                "window is \"month\"; it takes a whole number and a unit",
            ),
            ("rate = 1000", "rate = 0", "rate", "load.rate is 0.0; it takes requests/s from 1"),
            ("interval = \"1m\"", "interval = \"1\"", "interval", "canary.interval is \"1\"; it takes"),
            (
                "severity = \"page\"",
                "severity = \"wake\"",
                "severity",
                "burn.severity is \"wake\"; it takes \"page\" or",
            ),
            ("short = \"5m\"", "short = \"2h\"", "short", "burn.short is \"2h\"; it takes less than long, 1h"),
            ("budget = 0.02", "budget = 0.001", "budget", "burn.budget is 0.001; it takes a share at which"),
            (
                "com/task-api\"",
                "com/task-api/\"",
                "runbooks",
                "links.runbooks is \"https://runbooks.example.com/task-api/\"; it",
            ),
            (
                "success = 0.99 ",
                "success = 0.9 ",
                "success",
                "canary.success is 0.9; it takes a share above 0.9306: the burn rate over 1h is 14.4 times",
            ),
            ("delivered = 0.9999", "delivered = 0.93", "delivered", "logs.delivered is 0.93; it takes a share above"),
            ("failures = 5", "failures = 2.5", "failures", "guard.failures is 2.5; it takes a whole number"),
        ];
        for (from, to, key, message) in cases {
            let refused = refused(from, to);
            assert!(refused.starts_with(&format!("slo.toml:{}: {message}", line(key))), "{refused}");
            assert!(!refused.contains('\n'), "{refused}");
        }
    }

    #[test]
    fn unknown_missing_and_mistyped_keys_name_their_line() {
        assert!(refused("fast = 0.99 ", "fats = 0.99 ").contains("unknown field `fats`"));
        for (from, to, message) in [
            ("window = \"30d\"", "window = 30", "slo.toml:4: window is 30; it takes a whole number and a unit"),
            (
                "latency = 0.2 ",
                "latency = \"0.2\" ",
                "slo.toml:9: requests.latency is \"0.2\"; it takes seconds that are",
            ),
            (
                "interval = \"1m\"",
                "interval = 60.0",
                "slo.toml:20: canary.interval is 60.0; it takes a whole number and",
            ),
            (
                "severity = \"ticket\"",
                "severity = 3",
                "slo.toml:42: burn.severity is 3; it takes \"page\" or \"ticket\"",
            ),
            ("failures = 5", "failures = [5]", "slo.toml:54: guard.failures is [5]; it takes a whole number from 1"),
        ] {
            let refused = refused(from, to);
            assert!(refused.starts_with(message), "{refused}");
        }
        assert!(refused("failures = 5", "").contains("missing field `failures`"));
        assert!(refused("[guard]", "[guard").starts_with("slo.toml:"));
        assert!(refused("availability = 0.999", "availability = nan").contains("requests.availability is NaN"));
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = Slo::read(std::path::Path::new("no/such/slo.toml")).expect_err("no such file").to_string();
        assert!(error.starts_with("no/such/slo.toml: cannot be read: "), "{error}");
    }
}
