//! The template read back from its file, as CloudFormation would read it: intrinsic functions resolved with the sample
//! value of each parameter.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use super::parameters;

/// A template with nothing left to fill in.
#[derive(Debug, Clone, Default)]
pub struct Template {
    /// Alarms by logical id, in the order of the ids.
    pub alarms: BTreeMap<String, Alarm>,
    /// Composites by logical id.
    pub composites: BTreeMap<String, Composite>,
    /// Metric filters by logical id.
    pub filters: BTreeMap<String, Filter>,
    /// Saved queries by logical id.
    pub queries: BTreeMap<String, Query>,
    /// The dashboard.
    pub dashboards: BTreeMap<String, Dashboard>,
    /// What could not be read, by logical id.
    pub refused: Vec<(String, String)>,
}

/// One metric alarm.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
#[expect(missing_docs, reason = "the properties of AWS::CloudWatch::Alarm")]
pub struct Alarm {
    pub alarm_name: String,
    #[serde(default)]
    pub alarm_description: String,
    #[serde(default)]
    pub alarm_actions: Vec<String>,
    #[serde(default, rename = "OKActions")]
    pub ok_actions: Vec<String>,
    #[serde(default)]
    pub insufficient_data_actions: Vec<String>,
    pub namespace: Option<String>,
    pub metric_name: Option<String>,
    #[serde(default)]
    pub dimensions: Vec<Dimension>,
    pub statistic: Option<String>,
    pub extended_statistic: Option<String>,
    pub period: Option<u64>,
    #[serde(default)]
    pub metrics: Vec<MetricQuery>,
    pub evaluate_low_sample_count_percentile: Option<String>,
    pub comparison_operator: String,
    #[serde(deserialize_with = "number")]
    pub threshold: f64,
    pub datapoints_to_alarm: Option<u32>,
    pub evaluation_periods: u32,
    pub treat_missing_data: Option<String>,
}

/// A part of an alarm's metric math.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
#[expect(missing_docs, reason = "the properties of MetricDataQuery")]
pub struct MetricQuery {
    pub id: String,
    pub expression: Option<String>,
    pub metric_stat: Option<MetricStat>,
    pub label: Option<String>,
    #[serde(default = "yes")]
    pub return_data: bool,
    pub period: Option<u64>,
}

/// A metric with its statistic.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
#[expect(missing_docs, reason = "the properties of MetricStat")]
pub struct MetricStat {
    pub metric: Metric,
    pub period: u64,
    pub stat: String,
}

/// A metric.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
#[expect(missing_docs, reason = "the properties of Metric")]
pub struct Metric {
    pub namespace: String,
    pub metric_name: String,
    #[serde(default)]
    pub dimensions: Vec<Dimension>,
}

/// A dimension.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
#[expect(missing_docs, reason = "the properties of Dimension")]
pub struct Dimension {
    pub name: String,
    pub value: String,
}

/// One composite alarm.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
#[expect(missing_docs, reason = "the properties of AWS::CloudWatch::CompositeAlarm")]
pub struct Composite {
    pub alarm_name: String,
    #[serde(default)]
    pub alarm_description: String,
    pub alarm_rule: String,
    #[serde(default)]
    pub alarm_actions: Vec<String>,
    #[serde(default, rename = "OKActions")]
    pub ok_actions: Vec<String>,
    #[serde(default)]
    pub insufficient_data_actions: Vec<String>,
}

/// One metric filter.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
#[expect(missing_docs, reason = "the properties of AWS::Logs::MetricFilter")]
pub struct Filter {
    pub filter_name: String,
    pub log_group_name: String,
    pub filter_pattern: String,
    pub metric_transformations: Vec<Transformation>,
}

/// What a filter makes of a line.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
#[expect(missing_docs, reason = "the properties of MetricTransformation")]
pub struct Transformation {
    pub metric_namespace: String,
    pub metric_name: String,
    pub metric_value: String,
    pub unit: Option<String>,
    #[serde(default)]
    pub dimensions: Vec<FilterDimension>,
}

/// A dimension whose value is a field of the line.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
#[expect(missing_docs, reason = "the properties of Dimension")]
pub struct FilterDimension {
    pub key: String,
    pub value: String,
}

/// One saved query.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
#[expect(missing_docs, reason = "the properties of AWS::Logs::QueryDefinition")]
pub struct Query {
    pub name: String,
    pub log_group_names: Vec<String>,
    pub query_string: String,
}

/// One dashboard.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
#[expect(missing_docs, reason = "the properties of AWS::CloudWatch::Dashboard")]
pub struct Dashboard {
    pub dashboard_name: String,
    pub dashboard_body: String,
}

const fn yes() -> bool {
    true
}

/// CloudFormation takes a number as text, which is what a parameter is.
fn number<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    match Value::deserialize(from)? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
    .ok_or_else(|| serde::de::Error::custom("a number is expected"))
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// When it is not YAML, or not a template. A resource that cannot be read is among [`Template::refused`].
    pub fn parse(text: &str) -> Result<Self, String> {
        let yaml: serde_norway::Value =
            serde_norway::from_str(text).map_err(|error| format!("is not YAML: {error}"))?;
        let root = plain(yaml)?;
        let resources = root["Resources"].as_object().ok_or("has no Resources")?;
        let names = Names::of(&root, resources);
        let mut template = Self::default();
        for (id, resource) in resources {
            if let Err(problem) = template.add(id, resource, &names) {
                template.refused.push((id.clone(), problem));
            }
        }
        Ok(template)
    }

    fn add(&mut self, id: &str, resource: &Value, names: &Names) -> Result<(), String> {
        let properties = names.resolve(&resource["Properties"])?;
        match resource["Type"].as_str().unwrap_or_default() {
            "AWS::CloudWatch::Alarm" => insert(&mut self.alarms, id, properties),
            "AWS::CloudWatch::CompositeAlarm" => insert(&mut self.composites, id, properties),
            "AWS::Logs::MetricFilter" => insert(&mut self.filters, id, properties),
            "AWS::Logs::QueryDefinition" => insert(&mut self.queries, id, properties),
            "AWS::CloudWatch::Dashboard" => insert(&mut self.dashboards, id, properties),
            _ => Ok(()),
        }
    }
}

fn insert<T: DeserializeOwned>(into: &mut BTreeMap<String, T>, id: &str, properties: Value) -> Result<(), String> {
    into.insert(id.to_owned(), serde_json::from_value(properties).map_err(|error| error.to_string())?);
    Ok(())
}

/// YAML's short forms as the maps that they stand for.
fn plain(yaml: serde_norway::Value) -> Result<Value, String> {
    use serde_norway::Value as Yaml;
    Ok(match yaml {
        Yaml::Tagged(tagged) => {
            let name = tagged.tag.to_string();
            let name = name.trim_start_matches('!');
            let name = if ["Ref", "Condition"].contains(&name) { name.to_owned() } else { format!("Fn::{name}") };
            json!({ name: plain(tagged.value)? })
        }
        Yaml::Mapping(entries) => {
            let mut map = Map::new();
            for (key, value) in entries {
                let key = key.as_str().ok_or("a key is not a text")?.to_owned();
                map.insert(key, plain(value)?);
            }
            Value::Object(map)
        }
        Yaml::Sequence(items) => Value::Array(items.into_iter().map(plain).collect::<Result<_, _>>()?),
        other => serde_json::to_value(other).map_err(|error| error.to_string())?,
    })
}

/// What `${Name}` and `!Ref Name` stand for.
struct Names(BTreeMap<String, String>);

impl Names {
    fn of(root: &Value, resources: &Map<String, Value>) -> Self {
        let mut names: BTreeMap<String, String> =
            parameters::PSEUDO.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        for name in root["Parameters"].as_object().into_iter().flat_map(Map::keys) {
            let known = parameters::PARAMETERS.iter().find(|parameter| parameter.name == name);
            names.insert(name.clone(), known.map_or_else(|| format!("sample-{name}"), |known| known.sample.to_owned()));
        }
        // A second round, since a resource's name is made of parameters.
        for (id, resource) in resources {
            let of = |property: &str| Self(names.clone()).resolve(&resource["Properties"][property]).ok();
            let named = ["AlarmName", "TopicName", "LogGroupName"].into_iter().find_map(of);
            let name = named.as_ref().and_then(Value::as_str).unwrap_or(id).to_owned();
            names.insert(format!("{id}.TopicName"), name.clone());
            names.insert(id.clone(), name);
        }
        Self(names)
    }

    fn get(&self, name: &str) -> Result<&str, String> {
        self.0.get(name).map(String::as_str).ok_or_else(|| format!("there is no parameter or resource {name}"))
    }

    fn resolve(&self, value: &Value) -> Result<Value, String> {
        Ok(match value {
            Value::Object(map) => match map.iter().next() {
                Some((key, Value::String(name))) if key == "Ref" && map.len() == 1 => self.get(name)?.into(),
                Some((key, Value::String(text))) if key == "Fn::Sub" && map.len() == 1 => self.substitute(text)?.into(),
                _ => {
                    let resolved = map.iter().map(|(key, value)| Ok((key.clone(), self.resolve(value)?)));
                    Value::Object(resolved.collect::<Result<_, String>>()?)
                }
            },
            Value::Array(items) => Value::Array(items.iter().map(|item| self.resolve(item)).collect::<Result<_, _>>()?),
            other => other.clone(),
        })
    }

    /// `${Name}` filled in.
    fn substitute(&self, text: &str) -> Result<String, String> {
        let (mut out, mut rest) = (String::new(), text);
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}').ok_or("${ without }")?;
            out.push_str(before);
            out.push_str(self.get(name)?);
            rest = after;
        }
        Ok(out + rest)
    }
}

/// A text of the dashboard's file with the samples filled in.
///
/// # Errors
/// When it names something that is no parameter.
pub fn with_samples(text: &str) -> Result<String, String> {
    let samples = parameters::PARAMETERS.iter().map(|parameter| (parameter.name, parameter.sample));
    let all = samples.chain(parameters::PSEUDO.iter().copied());
    Names(all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()).substitute(text)
}
