//! The rules of CloudWatch's embedded metric format, which drops what breaks them without a word.

use serde_json::Value;

const METRICS_MAX: usize = 100;
const DIMENSIONS_MAX: usize = 30;
const VALUES_MAX: usize = 100;
const BYTES_MAX: usize = 1_048_576 - 26;

const UNITS: &[&str] = &[
    "Seconds",
    "Microseconds",
    "Milliseconds",
    "Bytes",
    "Kilobytes",
    "Megabytes",
    "Gigabytes",
    "Terabytes",
    "Bits",
    "Kilobits",
    "Megabits",
    "Gigabits",
    "Terabits",
    "Percent",
    "Count",
    "Bytes/Second",
    "Kilobytes/Second",
    "Megabytes/Second",
    "Gigabytes/Second",
    "Terabytes/Second",
    "Bits/Second",
    "Kilobits/Second",
    "Megabits/Second",
    "Gigabits/Second",
    "Terabits/Second",
    "Count/Second",
    "None",
];

/// Whether CloudWatch would make metrics of this line; the error names the rule.
pub fn check(line: &Value) -> Result<(), String> {
    let size = line.to_string().len();
    rule(size <= BYTES_MAX, "an event is at most 1 MB")?;
    rule(line["_aws"]["Timestamp"].is_u64(), "Timestamp is milliseconds since 1970")?;
    let directives = line["_aws"]["CloudWatchMetrics"].as_array().filter(|list| !list.is_empty());
    for directive in directives.ok_or("CloudWatchMetrics is a list with directives")? {
        let namespace = directive["Namespace"].as_str().unwrap_or_default();
        rule((1..=1024).contains(&namespace.len()), "Namespace is a text of 1 to 1024 characters")?;
        check_dimensions(line, &directive["Dimensions"])?;
        let metrics = directive["Metrics"].as_array().filter(|list| (1..=METRICS_MAX).contains(&list.len()));
        for metric in metrics.ok_or("Metrics is a list of 1 to 100")? {
            let name = metric["Name"].as_str().unwrap_or_default();
            rule((1..=1024).contains(&name.len()), "a metric has a name of 1 to 1024 characters")?;
            let unit = &metric["Unit"];
            rule(
                unit.is_null() || unit.as_str().is_some_and(|unit| UNITS.contains(&unit)),
                "Unit is one that is known",
            )?;
            check_value(&line[name]).map_err(|error| format!("{name}: {error}"))?;
        }
    }
    Ok(())
}

fn check_dimensions(line: &Value, sets: &Value) -> Result<(), String> {
    for set in sets.as_array().filter(|sets| !sets.is_empty()).ok_or("Dimensions is a list of lists")? {
        let set = set.as_array().ok_or("a dimension set is a list")?;
        rule(set.len() <= DIMENSIONS_MAX, "a set has at most 30 dimensions")?;
        for name in set {
            let name = name.as_str().ok_or("a dimension is a name")?;
            let value =
                line[name].as_str().ok_or_else(|| format!("{name}: a dimension's value is a text at the top"))?;
            rule((1..=1024).contains(&value.len()) && value.is_ascii(), "a dimension's value is 1 to 1024 of ASCII")?;
        }
    }
    Ok(())
}

fn check_value(value: &Value) -> Result<(), String> {
    let numbers = |list: &Value| {
        let list = list.as_array().filter(|list| (1..=VALUES_MAX).contains(&list.len()));
        list.filter(|list| list.iter().all(Value::is_number)).map(Vec::len)
    };
    match value {
        Value::Number(_) => Ok(()),
        Value::Array(_) => rule(numbers(value).is_some(), "a list holds 1 to 100 numbers"),
        Value::Object(_) => {
            let (values, counts) = (numbers(&value["Values"]), numbers(&value["Counts"]));
            rule(values.is_some() && values == counts, "Values and Counts hold 1 to 100 numbers each, as many")
        }
        _ => Err("a metric's value is a number, a list of numbers, or values with their counts".to_owned()),
    }
}

fn rule(holds: bool, text: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(text.to_owned()) }
}
