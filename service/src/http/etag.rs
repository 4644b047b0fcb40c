//! Entity tags (RFC 9110): strong, made from a task's version.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::tasks::model::IfMatch;

/// The entity tag of a version: `"3"`.
pub fn etag(version: i64) -> String {
    format!("\"{version}\"")
}

/// What `If-Match` asks. A weak tag never matches strongly.
pub fn if_match(headers: &HeaderMap) -> IfMatch {
    if !headers.contains_key(header::IF_MATCH) {
        return IfMatch::Any;
    }
    let mut versions = Vec::new();
    for tag in tags(headers, header::IF_MATCH) {
        match tag {
            "*" => return IfMatch::Any,
            tag => versions.extend(version(tag)),
        }
    }
    IfMatch::Versions(versions)
}

/// Whether `If-None-Match` names this version: the client has it already. Compares weakly, as the standard asks.
pub fn is_known(headers: &HeaderMap, current: i64) -> bool {
    tags(headers, header::IF_NONE_MATCH)
        .any(|tag| tag == "*" || version(tag.strip_prefix("W/").unwrap_or(tag)) == Some(current))
}

fn tags(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter().filter_map(|value: &HeaderValue| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

fn version(tag: &str) -> Option<i64> {
    let inner = tag.strip_prefix('"')?.strip_suffix('"')?;
    inner.bytes().all(|byte| byte.is_ascii_digit()).then(|| inner.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn if_match_takes_strong_tags_of_ours() {
        let parsed = |values: &[&'static str]| if_match(&headers(header::IF_MATCH, values));
        assert_eq!(parsed(&[]), IfMatch::Any);
        assert_eq!(parsed(&["*"]), IfMatch::Any);
        assert_eq!(parsed(&["\"3\""]), IfMatch::Versions(vec![3]));
        assert_eq!(parsed(&["\"3\", \"4\"", "\"5\""]), IfMatch::Versions(vec![3, 4, 5]));
        assert_eq!(parsed(&["W/\"3\"", "3", "\"x\"", ""]), IfMatch::Versions(vec![]));
        assert_eq!(parsed(&["\"99999999999999999999\""]), IfMatch::Versions(vec![]));
    }

    #[test]
    fn if_none_match_compares_weakly() {
        let known = |values: &[&'static str]| is_known(&headers(header::IF_NONE_MATCH, values), 3);
        assert!(known(&["\"3\""]) && known(&["W/\"3\""]) && known(&["*"]) && known(&["\"1\", \"3\""]));
        assert!(!known(&[]) && !known(&["\"4\""]) && !known(&["3"]));
    }
}
