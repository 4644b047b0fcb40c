//! CloudWatch Logs Insights: which fields and which events a query names.

use std::collections::BTreeSet;

use super::lexer::{Cursor, Lexicon, Token};

const LEXICON: Lexicon = Lexicon {
    signs: &["!=", "<=", ">=", "=~", "=", "<", ">", "+", "-", "*", "/", "%", "(", ")", "[", "]", ",", "|"],
    word_starts: "@",
    word_inner: ".",
    quotes: "\"'`",
    units: true,
};

/// CloudWatch takes no longer query.
pub const LENGTH_MAX: usize = 10_000;

const COMMANDS: &[&str] = &["fields", "display", "filter", "stats", "sort", "limit", "dedup"];
const WORDS: &[&str] =
    &["and", "or", "not", "in", "like", "as", "by", "asc", "desc", "true", "false", "null", "source", "all"];
const FUNCTIONS: &[&str] = &[
    "count",
    "count_distinct",
    "sum",
    "avg",
    "min",
    "max",
    "pct",
    "stddev",
    "median",
    "earliest",
    "latest",
    "bin",
    "abs",
    "ceil",
    "floor",
    "coalesce",
    "concat",
    "strlen",
    "tolower",
    "toupper",
    "ispresent",
    "isempty",
    "isblank",
    "datefloor",
    "dateceil",
    "tomillis",
    "frommillis",
    "strcontains",
    "round",
];
/// What CloudWatch knows of each line by itself.
const OWN_FIELDS: &[&str] = &["@timestamp", "@message", "@logStream", "@log", "@ingestionTime", "@ptr"];

/// What a query names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Fields of our lines.
    pub fields: BTreeSet<String>,
    /// Values that `event` is compared with by `=` or `in`.
    pub events: BTreeSet<String>,
}

/// Reads a query; `SOURCE 'group' |` of a dashboard may stand before it.
///
/// # Errors
/// What is wrong with it, in a few words.
pub fn names(query: &str) -> Result<Names, String> {
    if query.chars().count() > LENGTH_MAX {
        return Err(format!("is longer than {LENGTH_MAX} characters"));
    }
    let (mut names, mut made) = (Names::default(), BTreeSet::new());
    // A bin's or a percentile's number carries a unit, and a regular expression anything: neither names a field.
    for (at, command) in commands(&without_regular_expressions(query)?)?.into_iter().enumerate() {
        let mut cursor = Cursor::new(&command, LEXICON)?;
        match cursor.take() {
            Some(Token::Word(word)) if COMMANDS.contains(&word.to_lowercase().as_str()) => {}
            Some(Token::Word(word)) if at == 0 && word.eq_ignore_ascii_case("source") => continue,
            Some(token) => return Err(format!("there is no command {token}")),
            None => return Err("a command is empty".to_owned()),
        }
        read(&mut cursor, &mut names, &mut made)?;
    }
    Ok(names)
}

/// The parts between `|`.
fn commands(query: &str) -> Result<Vec<String>, String> {
    let (mut commands, mut quote) = (vec![String::new()], None);
    for c in query.chars() {
        match quote {
            None if c == '|' => {
                commands.push(String::new());
                continue;
            }
            None if "\"'`".contains(c) => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ => {}
        }
        if let Some(command) = commands.last_mut() {
            command.push(c);
        }
    }
    if quote.is_some() { Err("a text has no end".to_owned()) } else { Ok(commands) }
}

/// `like /…/` with an empty text in the expression's place.
fn without_regular_expressions(query: &str) -> Result<String, String> {
    let (mut out, mut rest) = (String::new(), query);
    loop {
        let found = ["like /", "=~ /"].iter().filter_map(|sign| Some((rest.find(sign)?, sign.len()))).min();
        let Some((at, length)) = found else { return Ok(out + rest) };
        let end = rest[at + length..].find('/').ok_or("a regular expression has no end")?;
        out.push_str(&rest[..at + length - 1]);
        out.push_str("\"\"");
        rest = &rest[at + length + end + 1..];
    }
}

fn read(cursor: &mut Cursor, names: &mut Names, made: &mut BTreeSet<String>) -> Result<(), String> {
    let mut open = 0_i32;
    let mut subject = String::new();
    while let Some(token) = cursor.take() {
        let called = matches!(cursor.peek(), Some(Token::Sign("(")));
        match token {
            Token::Word(word) if word.eq_ignore_ascii_case("as") => match cursor.take() {
                Some(Token::Word(name)) => {
                    made.insert(name);
                }
                _ => return Err("a name is expected after as".to_owned()),
            },
            Token::Word(word) if word.eq_ignore_ascii_case("bin") && called => skip(cursor)?,
            Token::Word(word) if WORDS.contains(&word.to_lowercase().as_str()) => {}
            Token::Word(word) if called && !FUNCTIONS.contains(&word.to_lowercase().as_str()) => {
                return Err(format!("there is no function {word}"));
            }
            Token::Word(_) if called => {}
            Token::Word(word) if OWN_FIELDS.contains(&word.as_str()) || made.contains(&word) => subject = word,
            Token::Word(word) => {
                names.fields.insert(word.clone());
                subject = word;
            }
            Token::Text(text) if subject == "event" => {
                names.events.insert(text);
            }
            Token::Sign("(" | "[") => open += 1,
            Token::Sign(")" | "]") => open -= 1,
            _ => {}
        }
        if open < 0 {
            return Err("a bracket closes that none has opened".to_owned());
        }
    }
    if open == 0 { Ok(()) } else { Err("a bracket has no end".to_owned()) }
}

/// Over the brackets that follow.
fn skip(cursor: &mut Cursor) -> Result<(), String> {
    while let Some(token) = cursor.take() {
        if token == Token::Sign(")") {
            return Ok(());
        }
    }
    Err("a bracket has no end".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_events_are_found_and_nothing_else() {
        let query = "SOURCE '/a' | fields @timestamp, status as code | filter event in ['http_request', \"panicked\"] and route like /auth|x/\n\
                     | stats count(*) as hits, pct(duration_ms, 99) by bin(5m), method | sort hits desc, code | limit 5";
        let names = names(query).expect("a query");
        let set = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(names.fields, set(&["duration_ms", "event", "method", "route", "status"]));
        assert_eq!(names.events, set(&["http_request", "panicked"]));
    }

    #[test]
    fn a_broken_query_is_refused() {
        for (query, message) in [
            ("select * from x", "there is no command select"),
            ("filter a = 1 |", "a command is empty"),
            ("stats cont(*) by a", "there is no function cont"),
            ("filter (a = 1", "a bracket has no end"),
            ("filter a = 'x", "has no end"),
            ("filter a like /x", "a regular expression has no end"),
            ("fields a as", "a name is expected after as"),
        ] {
            let refused = names(query).expect_err(query);
            assert!(refused.contains(message), "{query}: {refused}");
        }
    }
}
