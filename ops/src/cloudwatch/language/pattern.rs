//! Filter patterns for JSON: `{ ($.event = "panicked") || ($.status >= 500) }`.

use std::collections::BTreeSet;

use super::lexer::{Cursor, Lexicon, Token};

const LEXICON: Lexicon = Lexicon {
    signs: &["&&", "||", "!=", "<=", ">=", "=", "<", ">", "(", ")", "{", "}", "-"],
    word_starts: "$*",
    word_inner: ".[]",
    quotes: "\"",
    units: false,
};

/// CloudWatch Logs takes no more.
pub const LENGTH_MAX: usize = 1024;

/// A parsed pattern.
#[derive(Debug, Clone, PartialEq)]
pub enum Pattern {
    /// A field compared with a value; `*` in a text stands for anything.
    Compare(String, &'static str, Value),
    /// `$.field IS NULL`, `NOT EXISTS`, `IS TRUE`, `IS FALSE`.
    Is(String, &'static str),
    /// Both.
    And(Box<Pattern>, Box<Pattern>),
    /// One of them.
    Or(Box<Pattern>, Box<Pattern>),
}

/// What a field is compared with.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A number.
    Number(f64),
}

/// A line of one event as the catalogue promises it: the fields are known, and the values of those that say what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line<'a> {
    /// The value of `event`.
    pub event: &'a str,
    /// The value of `level`.
    pub level: &'a str,
    /// All fields that it can have.
    pub fields: BTreeSet<&'a str>,
}

impl Pattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// What is wrong with it, in a few words.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > LENGTH_MAX {
            return Err(format!("is longer than {LENGTH_MAX} characters"));
        }
        let mut cursor = Cursor::new(text, LEXICON)?;
        cursor.expect("{")?;
        let pattern = or(&mut cursor)?;
        cursor.expect("}")?;
        cursor.end()?;
        Ok(pattern)
    }

    /// The fields that it names.
    pub fn fields(&self) -> BTreeSet<&str> {
        match self {
            Self::Compare(field, ..) | Self::Is(field, _) => BTreeSet::from([field.as_str()]),
            Self::And(left, right) | Self::Or(left, right) => &left.fields() | &right.fields(),
        }
    }

    /// Whether such a line can match: a value that the catalogue does not fix may be anything.
    pub fn can_match(&self, line: &Line<'_>) -> bool {
        let fixed = |field: &str| match field {
            "event" => Some(line.event),
            "level" => Some(line.level),
            _ => None,
        };
        match self {
            Self::Compare(field, operator, value) => match (fixed(field), value) {
                (Some(is), Value::Text(wanted)) => matches(wanted, is) == (*operator == "="),
                (Some(_), Value::Number(_)) => *operator == "!=",
                (None, _) => line.fields.contains(field.as_str()),
            },
            Self::Is(field, "NOT EXISTS") => !line.fields.contains(field.as_str()),
            Self::Is(field, _) => fixed(field).is_none() && line.fields.contains(field.as_str()),
            Self::And(left, right) => left.can_match(line) && right.can_match(line),
            Self::Or(left, right) => left.can_match(line) || right.can_match(line),
        }
    }
}

/// Whether a text is of the form that `pattern` gives with `*`.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|text| {
            text.char_indices().map(|(at, _)| at).chain([text.len()]).any(|at| matches(rest, &text[at..]))
        }),
    }
}

fn or(cursor: &mut Cursor) -> Result<Pattern, String> {
    let mut left = and(cursor)?;
    while cursor.sign("||") {
        left = Pattern::Or(Box::new(left), Box::new(and(cursor)?));
    }
    Ok(left)
}

fn and(cursor: &mut Cursor) -> Result<Pattern, String> {
    let mut left = one(cursor)?;
    while cursor.sign("&&") {
        left = Pattern::And(Box::new(left), Box::new(one(cursor)?));
    }
    Ok(left)
}

fn one(cursor: &mut Cursor) -> Result<Pattern, String> {
    cursor.deeper()?;
    let pattern = if cursor.sign("(") {
        let pattern = or(cursor)?;
        cursor.expect(")")?;
        pattern
    } else {
        condition(cursor)?
    };
    cursor.shallower();
    Ok(pattern)
}

fn condition(cursor: &mut Cursor) -> Result<Pattern, String> {
    let field = match cursor.take() {
        Some(Token::Word(word)) => word.strip_prefix("$.").filter(|field| !field.is_empty()).map(str::to_owned),
        _ => None,
    };
    let field = field.ok_or("a field is expected, as $.event")?;
    if cursor.word("NOT") {
        return if cursor.word("EXISTS") { Ok(Pattern::Is(field, "NOT EXISTS")) } else { Err(cursor.wanted("EXISTS")) };
    }
    if cursor.word("IS") {
        let states = ["NULL", "TRUE", "FALSE"];
        let state = states.into_iter().find(|state| cursor.word(state));
        return state.map(|state| Pattern::Is(field, state)).ok_or_else(|| cursor.wanted("NULL, TRUE or FALSE"));
    }
    let operators = ["!=", "<=", ">=", "=", "<", ">"];
    let operator = operators.into_iter().find(|operator| cursor.sign(operator));
    let operator = operator.ok_or_else(|| cursor.wanted("=, !=, <, <=, >, >=, IS or NOT EXISTS"))?;
    let negative = cursor.sign("-");
    let value = match cursor.take() {
        Some(Token::Number(number)) => Value::Number(if negative { -number } else { number }),
        Some(Token::Text(text) | Token::Word(text)) if !negative => Value::Text(text),
        _ => return Err(format!("a value is expected after {operator}")),
    };
    if matches!(value, Value::Text(_)) && !["=", "!="].contains(&operator) {
        return Err(format!("{operator} compares numbers only"));
    }
    Ok(Pattern::Compare(field, operator, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: Line<'_> = Line { event: "http_request", level: "ERROR", fields: BTreeSet::new() };

    fn can_match(text: &str) -> bool {
        let line = Line { fields: BTreeSet::from(["event", "level", "status", "user_id"]), ..LINE };
        Pattern::parse(text).expect(text).can_match(&line)
    }

    #[test]
    fn a_pattern_matches_lines_that_can_be_as_it_says() {
        for text in [
            "{ $.event = \"http_request\" }",
            "{ $.event = http_* }",
            "{ $.event = \"panicked\" || $.level = ERROR }",
            "{ ($.event = \"http_request\") && ($.status >= 500) }",
            "{ $.status != -1 && $.cause NOT EXISTS }",
            "{ $.user_id IS NULL }",
        ] {
            assert!(can_match(text), "{text}");
        }
        for text in [
            "{ $.event = \"http_requests\" }",
            "{ $.event = \"*panic*\" }",
            "{ $.state >= 500 }",
            "{ $.event != \"http_request\" }",
            "{ $.event = \"http_request\" && $.level = \"INFO\" }",
            "{ $.status NOT EXISTS }",
        ] {
            assert!(!can_match(text), "{text}");
        }
    }

    #[test]
    fn a_broken_pattern_is_refused() {
        for (text, message) in [
            ("$.event = \"x\"", "\"{\" is expected before $.event"),
            ("{ $.event = \"x\"", "\"}\" is expected at the end"),
            ("{ event = \"x\" }", "a field is expected"),
            ("{ $.event == \"x\" }", "a value is expected after ="),
            ("{ $.event }", "is expected before }"),
            ("{ $.event > \"x\" }", "> compares numbers only"),
            ("{ $.a = 1 } x", "x is not expected"),
            ("{ $.a IS 1 }", "NULL, TRUE or FALSE is expected"),
        ] {
            let refused = Pattern::parse(text).expect_err(text);
            assert!(refused.contains(message), "{text}: {refused}");
        }
    }
}
