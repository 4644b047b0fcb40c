//! The rendered dashboards as Grafana uses them: values of variables, queries with the variables replaced.

use std::collections::BTreeMap;

use ops::grafana::{self, FOLDER, variables};
use serde_json::Value;
use testkit::prometheus::{Prometheus, encoded};

use super::objectives;

/// What is chosen at the top of a dashboard: variables by name, with a pattern for their value.
pub(crate) type Chosen = BTreeMap<String, String>;

/// A dashboard.
pub(crate) struct Dashboard {
    pub(crate) uid: String,
    pub(crate) json: Value,
}

/// All that are rendered.
pub(crate) fn all() -> Vec<Dashboard> {
    let files = grafana::rendered(&objectives()).into_iter().filter(|file| file.path.starts_with(FOLDER));
    let dashboard = |text: &str| {
        let json: Value = serde_json::from_str(text).expect("JSON");
        Dashboard { uid: json["uid"].as_str().expect("a uid").to_owned(), json }
    };
    files.map(|file| dashboard(&file.text)).collect()
}

impl Dashboard {
    /// Its panels, headings left out.
    pub(crate) fn panels(&self) -> Vec<&Value> {
        list(&self.json["panels"]).iter().filter(|panel| panel["type"] != "row").collect()
    }

    /// "All" everywhere.
    pub(crate) fn all_chosen(&self) -> Chosen {
        self.variables().map(|name| (name.to_owned(), ".+".to_owned())).collect()
    }

    /// "All" everywhere, and then each single value of each variable.
    pub(crate) fn choices(&self, prometheus: &Prometheus) -> Vec<Chosen> {
        let mut choices = vec![self.all_chosen()];
        for name in self.variables() {
            for value in self.values(name, prometheus) {
                choices.push(Chosen::from([(name.to_owned(), escaped(&value))]));
                let rest = choices[0].iter().filter(|(other, _)| *other != name);
                let rest: Vec<_> = rest.map(|(name, value)| (name.clone(), value.clone())).collect();
                choices.last_mut().expect("one was pushed").extend(rest);
            }
        }
        choices
    }

    fn variables(&self) -> impl Iterator<Item = &str> {
        let list = list(&self.json["templating"]["list"]).iter();
        list.filter(|variable| variable["type"] == "query").filter_map(|variable| variable["name"].as_str())
    }

    /// The values that Grafana offers for a variable.
    pub(crate) fn values(&self, name: &str, prometheus: &Prometheus) -> Vec<String> {
        let list = list(&self.json["templating"]["list"]).iter();
        let variable = list.clone().find(|variable| variable["name"] == name).expect("a variable");
        let query = variable["query"].as_str().expect("a query");
        let inside = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
        let (series, label) = inside.and_then(|inside| inside.rsplit_once(", ")).expect("label_values(series, label)");
        let series = variables::replace(series, |_| Some(".+".to_owned())).expect("every name has a value");
        let data = prometheus.api(&format!("label/{label}/values?match[]={}", encoded(&series)));
        data.as_array().into_iter().flatten().filter_map(|value| value.as_str().map(str::to_owned)).collect()
    }
}

/// A query as Prometheus gets it.
pub(crate) fn replaced(expression: &str, chosen: &Chosen, rate_interval: &str, range: &str) -> String {
    variables::replace(expression, |name| match name {
        "__rate_interval" => Some(rate_interval.to_owned()),
        "__range" => Some(range.to_owned()),
        _ => chosen.get(name).cloned(),
    })
    .unwrap_or_else(|name| panic!("no value for ${name} in {expression}"))
}

/// A value as a pattern, as Grafana writes it into a query.
fn escaped(value: &str) -> String {
    let special = |character: char| r"\.+*?()|[]{}^$".contains(character);
    value.chars().fold(String::new(), |pattern, character| {
        if special(character) { format!(r"{pattern}\\{character}") } else { format!("{pattern}{character}") }
    })
}

/// The members of a list.
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
