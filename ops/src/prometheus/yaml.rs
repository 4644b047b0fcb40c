//! The little YAML that is written by hand, so that a diff of it is pleasant to read.

/// What each rendered file starts with.
pub(super) const HEADER: &str = "# Rendered by `cargo run -p ops -- render` from slo.toml. Change that file, or \
ops/src/prometheus, and render again.\n";

const WIDTH_MAX: usize = 118;

/// A text in double quotes.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A text in single quotes, for one that is full of double ones.
pub(super) fn single(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A long text as a folded block, indented by so many spaces; a reader gets it on one line.
pub(super) fn folded(text: &str, indent: usize) -> String {
    let lines = wrapped(text, WIDTH_MAX - indent);
    let pad = " ".repeat(indent);
    let lines: Vec<String> = lines.iter().map(|line| format!("{pad}{line}")).collect();
    format!(">-\n{}", lines.join("\n"))
}

/// Lines as a literal block, indented by so many spaces.
pub(super) fn literal(text: &str, indent: usize) -> String {
    let pad = " ".repeat(indent);
    let lines: Vec<String> = text.lines().map(|line| format!("{pad}{line}")).collect();
    format!("|-\n{}", lines.join("\n"))
}

/// A text as comment lines, indented by so many spaces.
pub(super) fn comment(text: &str, indent: usize) -> String {
    let pad = " ".repeat(indent);
    wrapped(text, WIDTH_MAX - indent).iter().map(|line| format!("{pad}# {line}\n")).collect()
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// A number without the noise of binary fractions: `0.001`, `14.4`, `348`.
pub(super) fn number(value: f64) -> String {
    let text = format!("{value:.9}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" || text.is_empty() { "0".to_owned() } else { text.to_owned() }
}

/// As Go prints with `%.4g`, which is what `humanizePercentage` uses, so that a test can say what an alert will read
/// like.
pub(super) fn four_digits(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let scientific = format!("{value:.3e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if (-4..4).contains(&exponent) {
        return trim(&format!("{value:.*}", (3 - exponent).max(0) as usize));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trim(mantissa), exponent.abs())
}

/// A share as people and Prometheus' `humanizePercentage` write it.
pub(super) fn percent(share: f64) -> String {
    format!("{}%", four_digits(share * 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_prometheus_writes_them() {
        for (value, text) in [
            (0.0, "0"),
            (1.44, "1.44"),
            (2.304, "2.304"),
            (100.0, "100"),
            (99.95001, "99.95"),
            (-890.09, "-890.1"),
            (0.00012345, "0.0001234"),
            (12345.6, "1.235e+04"),
            (0.0000123, "1.23e-05"),
            (9999.96, "1e+04"),
        ] {
            assert_eq!(four_digits(value), text, "{value}");
        }
        assert_eq!(number(1.0 - 0.999), "0.001");
        assert_eq!(number(0.02 * 2_592_000.0 / 3600.0), "14.4");
        assert_eq!(number(-0.0), "0");
    }

    #[test]
    fn a_folded_text_is_read_back_as_it_was() {
        let text = "word ".repeat(100) + "end: \"quoted\" {{ $value }}";
        let yaml = format!("text: {}\n", folded(&text, 2));
        let read: std::collections::BTreeMap<String, String> = serde_norway::from_str(&yaml).expect("YAML");
        assert_eq!(read["text"], text);
        assert!(yaml.lines().all(|line| line.len() <= WIDTH_MAX));
    }
}
