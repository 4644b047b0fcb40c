//! Grafana's variables in a text: `$job`, `${job}`, `${job:regex}`.

/// The text with each variable replaced by what `value` gives for its name.
///
/// # Errors
/// The name of a variable that has no value.
pub fn replace(text: &str, value: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut replaced = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        replaced += &rest[..at];
        let after = &rest[at + 1..];
        let (name, length) = match after.strip_prefix('{').and_then(|inside| inside.split_once('}')) {
            Some((inside, _)) => (inside.split(':').next().unwrap_or_default(), inside.len() + 2),
            None => {
                let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
                (&after[..end], end)
            }
        };
        replaced += &value(name).ok_or_else(|| name.to_owned())?;
        rest = &after[length..];
    }
    Ok(replaced + rest)
}

/// What Grafana puts in for its own variables, for a time range of an hour; `None` for one that is not its own.
pub fn built_in(name: &str) -> Option<&'static str> {
    match name {
        "__rate_interval" => Some("1m"),
        "__range" => Some("1h"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_of_a_variable_is_replaced() {
        let value = |name: &str| (name == "job").then(|| "api".to_owned());
        let text = r#"a{job=~"$job", b="${job}", c="${job:regex}"}"#;
        assert_eq!(replace(text, value), Ok(r#"a{job=~"api", b="api", c="api"}"#.to_owned()));
        assert_eq!(replace("no variable", value), Ok("no variable".to_owned()));
    }

    #[test]
    fn an_unknown_variable_is_named() {
        assert_eq!(replace("a[$__rate]", |_| None), Err("__rate".to_owned()));
        assert_eq!(replace("a${open", |_| None), Err(String::new()));
    }
}
