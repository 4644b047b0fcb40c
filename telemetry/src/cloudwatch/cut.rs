//! Cutting a line that is longer than CloudWatch Logs takes, so that it stays valid JSON and says that it was cut.

/// Ends a line that was cut after a field.
const AFTER_FIELD: &str = ",\"truncated\":true}";
/// Ends a line that was cut within the text of a field.
const WITHIN_TEXT: &str = "\",\"truncated\":true}";
/// The shortest limit that is honoured: the object that says no more than that it was cut.
const LEAST: &str = "{\"truncated\":true}";

/// Where a line may end, and with what.
#[derive(Clone, Copy)]
struct End {
    at: usize,
    with: &'static str,
}

/// The line within `bytes_max`, or `None` if it fits as it is. The line is one JSON object, as our layer writes it: its
/// fields are kept in order, whole, and the first that does not fit is kept in part if it is text.
pub(super) fn cut(line: &str, bytes_max: usize) -> Option<String> {
    if line.len() <= bytes_max {
        return None;
    }
    let end = last_end(line.as_bytes(), bytes_max);
    Some(end.map_or_else(|| LEAST.to_owned(), |end| format!("{}{}", &line[..end.at], end.with)))
}

/// Walks the object for the last place where it can end within the limit.
fn last_end(line: &[u8], bytes_max: usize) -> Option<End> {
    let mut best = None;
    let mut offer = |at: usize, with: &'static str| {
        if at + with.len() <= bytes_max {
            best = Some(End { at, with });
        }
    };
    let (mut depth, mut in_value, mut at) = (0_usize, false, 0);
    while at < line.len() && at <= bytes_max {
        match line[at] {
            b'"' => {
                let cuttable = depth == 1 && in_value;
                at += 1;
                while at < line.len() && line[at] != b'"' {
                    // The start of a character or of an escape: the text may end before it.
                    if cuttable && !is_continuation(line[at]) && !splits_a_pair(line, at) {
                        offer(at, WITHIN_TEXT);
                    }
                    at += escape_length(line, at);
                }
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                if depth == 1 && in_value {
                    offer(at, AFTER_FIELD);
                }
                depth = depth.saturating_sub(1);
            }
            b':' if depth == 1 => in_value = true,
            b',' if depth == 1 => {
                offer(at, AFTER_FIELD);
                in_value = false;
            }
            _ => {}
        }
        at += 1;
    }
    best
}

const fn is_continuation(byte: u8) -> bool {
    byte & 0b1100_0000 == 0b1000_0000
}

/// Bytes of what stands at `at` within a string: an escape is two or six, anything else is taken byte by byte.
fn escape_length(line: &[u8], at: usize) -> usize {
    match line.get(at..at + 2) {
        Some([b'\\', b'u']) => 6,
        Some([b'\\', _]) => 2,
        _ => 1,
    }
}

/// Whether an escaped low surrogate stands here: half a pair is no character.
fn splits_a_pair(line: &[u8], at: usize) -> bool {
    matches!(line.get(at..at + 4), Some([b'\\', b'u', b'd' | b'D', b'c'..=b'f' | b'C'..=b'F']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            4 => any::<String>().prop_map(Value::from),
            1 => any::<i64>().prop_map(Value::from),
            1 => any::<bool>().prop_map(Value::from),
            1 => prop::collection::vec(any::<String>(), 0..3).prop_map(Value::from),
            1 => prop::collection::hash_map(any::<String>(), any::<u8>(), 0..3)
                .prop_map(|map| Value::from_iter(map.into_iter().map(|(name, number)| (name, Value::from(number))))),
        ]
    }

    proptest! {
        #[test]
        fn a_cut_line_fits_is_json_says_so_and_holds_only_what_was_there(
            fields in prop::collection::vec(("[a-z]{1,8}", value()), 0..6),
            limit in LEAST.len()..200,
        ) {
            let fields: Map<String, Value> = fields.into_iter().collect();
            let line = Value::Object(fields.clone()).to_string();
            match cut(&line, limit) {
                None => prop_assert!(line.len() <= limit),
                Some(short) => {
                    prop_assert!(line.len() > limit && short.len() <= limit, "{short}");
                    let mut read: Map<String, Value> = serde_json::from_str(&short)?;
                    prop_assert_eq!(read.remove("truncated"), Some(Value::Bool(true)));
                    for (name, value) in read {
                        let whole = &fields[&name];
                        let prefix = matches!((whole, &value), (Value::String(a), Value::String(b)) if a.starts_with(b.as_str()));
                        prop_assert!(*whole == value || prefix, "{name}: {value}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_long_text_is_kept_up_to_the_limit() {
        let line = format!("{{\"level\":\"INFO\",\"message\":\"{}\"}}", "ä".repeat(100));
        let short = cut(&line, 100).unwrap_or_default();
        assert!(short.len() >= 99 && short.ends_with("ä\",\"truncated\":true}"), "{short}");
        let escaped = format!("{{\"message\":\"{}\"}}", r"\u0007\n\ud83d\ude00".repeat(20));
        for limit in LEAST.len()..120 {
            let short = cut(&escaped, limit).unwrap_or_default();
            assert!(serde_json::from_str::<Value>(&short).is_ok(), "{short}");
        }
    }
}
