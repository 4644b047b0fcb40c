//! The metrics as Prometheus reads them.

use std::collections::{BTreeMap, BTreeSet};

use super::client::Api;

/// One line of the exposition.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// With `_bucket`, `_sum` or `_count` behind it when it is of a histogram.
    pub name: String,
    /// Labels and their values.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

/// One scrape.
pub struct Scrape {
    /// As it came.
    pub text: String,
    /// Every sample, in order.
    pub samples: Vec<Sample>,
}

impl Scrape {
    /// Asks the admin listener.
    pub async fn of(admin: &Api) -> Self {
        let text = admin.get("/metrics").await.expect(200).text;
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let samples = lines.map(parse).collect();
        Self { text, samples }
    }

    /// The sum of the samples of this name that have all of these labels.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let fits = |sample: &&Sample| {
            sample.name == name
                && labels.iter().all(|(label, value)| sample.labels.get(*label).is_some_and(|found| found == value))
        };
        self.samples.iter().filter(fits).map(|sample| sample.value).sum()
    }

    /// The value of a metric without labels. Panics when it is not there.
    pub fn value(&self, name: &str) -> f64 {
        let sample = self.samples.iter().find(|sample| sample.name == name);
        sample.unwrap_or_else(|| panic!("no {name} in\n{}", self.text)).value
    }

    /// The metrics that are declared by a `# TYPE` line, with their types.
    pub fn types(&self) -> BTreeSet<(String, String)> {
        let declared = self.text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        declared.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
    }
}

fn parse(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("not a sample: {line}"));
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let labels = labels.trim_end_matches('}').split("\",").filter(|label| !label.is_empty());
    let labels = labels.map(|label| {
        let (name, value) = label.split_once("=\"").unwrap_or_else(|| panic!("not a label: {line}"));
        (name.to_owned(), value.trim_end_matches('"').to_owned())
    });
    let value = value.parse().unwrap_or_else(|_| panic!("not a number: {line}"));
    Sample { name: name.to_owned(), labels: labels.collect(), value }
}
