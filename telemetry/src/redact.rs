//! Redaction: what may be told to others of a text that our code did not write, such as a database's error or a panic's
//! message. Pure, bounded, and rather too strict than too lax: what is lost here still stands in nobody's logs.

mod path;

pub use path::redact_path;

/// The longest text that leaves, in characters. A message that says more than this says it in its first words.
pub const REDACTED_CHARACTERS_MAX: usize = 1024;

/// The longest text that is looked at, in bytes.
const INPUT_BYTES_MAX: usize = 8 * 1024;

/// A run of letters and digits from this length on is a token and no word: our refresh tokens have 70 characters, a trace
/// id has 32 and a UUID 36.
const TOKEN_CHARACTERS_MIN: usize = 40;

const HIDDEN: &str = "[redacted]";

/// A name that holds one of these has a value that is nobody's business.
const SECRET_NAMES: &[&str] = &[
    "authorization",
    "cookie",
    "passw",
    "pwd",
    "secret",
    "token",
    "api_key",
    "apikey",
    "api-key",
    "credential",
    "private_key",
    "signature",
    "session",
    "jwt",
    "dsn",
];

/// Words of PostgreSQL and SQLite before a name in quotes that is part of the schema, and not data.
const SCHEMA_WORDS: &[&str] = &["constraint", "column", "relation", "table", "index", "function", "type", "operator"];

/// The text without what may be a secret or somebody's data: values of headers, parameters and variables with telling
/// names, tokens, e-mail addresses, users and passwords in URLs, query strings, quoted text, and the values of SQL.
pub fn redact(text: &str) -> String {
    let (text, cut) = bounded(text);
    let text = without_parts_of_urls(text);
    let mut words = String::with_capacity(text.len());
    // By line: the value of a header reaches to the end of its line.
    for (number, line) in text.lines().enumerate() {
        if number > 0 {
            words.push('\n');
        }
        words_of(line, &mut words);
    }
    // After the names: these may stand in quotes themselves.
    let mut out = without_sql_values(&without_quoted(&words));
    if cut || out.chars().nth(REDACTED_CHARACTERS_MAX).is_some() {
        let end = out.char_indices().nth(REDACTED_CHARACTERS_MAX - 1).map_or(out.len(), |(end, _)| end);
        out.truncate(end);
        out.push('…');
    }
    out
}

/// Cuts at a space, so that no secret loses the half by which it would be known.
fn bounded(text: &str) -> (&str, bool) {
    if text.len() <= INPUT_BYTES_MAX {
        return (text, false);
    }
    let head = &text[..text.floor_char_boundary(INPUT_BYTES_MAX)];
    (head.rfind(char::is_whitespace).map_or("", |end| &head[..end]), true)
}

/// Hides users, passwords and query strings of URLs, and those of paths. They reach to the next space.
fn without_parts_of_urls(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_inclusive(char::is_whitespace) {
        let (start, rest) = word.find("://").map_or(("", word), |at| word.split_at(at + 3));
        out.push_str(start);
        let rest = match rest.rfind('@') {
            Some(at) if !start.is_empty() => {
                out.push_str(HIDDEN);
                &rest[at..]
            }
            _ => rest,
        };
        match rest.split_once('?') {
            Some((path, query)) if query.contains('=') => {
                out.push_str(path);
                out.push('?');
                out.push_str(HIDDEN);
                out.extend(word.chars().next_back().filter(|last| last.is_whitespace()));
            }
            _ => out.push_str(rest),
        }
    }
    out
}

/// Hides what stands in quotes, unless it is a name of the schema. A quote without its other half hides the rest.
fn without_quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['"', '\'']) {
        let quote = rest.as_bytes()[at];
        let (before, quoted) = (&rest[..at], &rest[at + 1..]);
        out.push_str(before);
        let within_word = quote == b'\'' && before.chars().next_back().is_some_and(char::is_alphanumeric);
        if within_word && quoted.starts_with(char::is_alphabetic) {
            // As in "can't". What quotes come after it pair up among themselves, or nobody knows where data begins.
            let is_paired = quoted.bytes().filter(|byte| *byte == b'\'').count() % 2 == 0;
            if is_paired && is_end_of_word(quoted) {
                out.push('\'');
                rest = quoted;
                continue;
            }
            out.push('\'');
            out.push_str(HIDDEN);
            return out;
        }
        let end = closing(quoted, quote);
        let inside = &quoted[..end.unwrap_or(quoted.len())];
        out.push(char::from(quote));
        out.push_str(if quote == b'"' && is_of_schema(&out, inside) { inside } else { HIDDEN });
        out.push(char::from(quote));
        rest = end.map_or("", |end| &quoted[end + 1..]);
    }
    out.push_str(rest);
    out
}

/// Whether an apostrophe stands before this: "can't", "it's", "user's". Not before a literal, as in `E'buy milk'`.
fn is_end_of_word(text: &str) -> bool {
    let end: String = text.chars().take_while(|c| c.is_alphanumeric()).collect();
    ["t", "s", "re", "ve", "ll", "d", "m"].contains(&end.as_str())
}

/// Where the quote ends: doubled or behind a backslash, it belongs to the text, and so does an apostrophe before a letter.
fn closing(text: &str, quote: u8) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'\\' || (bytes[at] == quote && bytes.get(at + 1) == Some(&quote)) {
            at += 2;
        } else if bytes[at] == quote && (quote == b'"' || !bytes.get(at + 1).is_some_and(u8::is_ascii_alphanumeric)) {
            return Some(at);
        } else {
            at += 1;
        }
    }
    None
}

fn is_of_schema(before: &str, name: &str) -> bool {
    let word = before.trim_end_matches('"').trim_end().rsplit(char::is_whitespace).next().unwrap_or_default();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '.');
    SCHEMA_WORDS.contains(&word) && (1..=63).contains(&name.len()) && name.chars().all(plain)
}

/// Hides PostgreSQL's `Key (column)=(value)`, and the numbers of whatever looks like a statement.
fn without_sql_values(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(")=(") {
        out.push_str(&rest[..at + 3]);
        out.push_str(HIDDEN);
        // To the last parenthesis of the line: the value may hold some itself.
        let line = rest[at + 3..].find('\n').map_or(rest.len(), |end| at + 3 + end);
        rest = rest[at + 3..line].rfind(')').map_or(&rest[line..], |end| &rest[at + 3 + end..]);
    }
    out.push_str(rest);
    let upper = out.to_ascii_uppercase();
    let is_statement = [("SELECT ", " FROM "), ("INSERT ", " INTO "), ("UPDATE ", " SET "), ("DELETE ", " FROM ")]
        .iter()
        .any(|(verb, word)| upper.contains(verb) && upper.contains(word.trim_start()));
    if !is_statement {
        return out;
    }
    let mut within_word = false;
    let digits = out.chars().map(|c| {
        let hidden = c.is_ascii_digit() && !within_word;
        within_word = c.is_alphabetic() || c == '_' || c == '$' || (within_word && c.is_ascii_digit());
        if hidden { '?' } else { c }
    });
    digits.collect()
}

/// Hides what single words, and names with their values, give away.
fn words_of(line: &str, out: &mut String) {
    let mut rest = line;
    while !rest.is_empty() {
        let end = rest.find(is_separator).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let secret_name = is_secret_name(word);
        if secret_name && let Some(value) = value_after(after) {
            out.push_str(word);
            out.push_str(&after[..after.len() - value.len()]);
            out.push_str(HIDDEN);
            rest = &value[value_end(word, value)..];
            continue;
        }
        let scheme = word.eq_ignore_ascii_case("bearer") || word.eq_ignore_ascii_case("basic");
        if scheme && after.starts_with(' ') {
            out.push_str(word);
            out.push(' ');
            out.push_str(HIDDEN);
            let value = after.trim_start();
            rest = &value[value.find(char::is_whitespace).unwrap_or(value.len())..];
            continue;
        }
        push_word(word, out);
        let separator = after.chars().next().map_or(0, char::len_utf8);
        out.push_str(&after[..separator]);
        rest = &after[separator..];
    }
}

/// Ends a word; what belongs to tokens, addresses and URLs does not.
fn is_separator(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, ',' | ';' | '(' | ')' | '[' | ']' | '{' | '}' | '<' | '>' | '"' | '\'' | '`' | '|')
        || matches!(c, '=' | ':')
}

fn is_secret_name(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    SECRET_NAMES.iter().any(|name| word.contains(name))
}

/// What follows `=`, `:` or `": `, if anything does.
fn value_after(after: &str) -> Option<&str> {
    let value = after.trim_start_matches(['"', '\'', '`']).trim_start();
    let value = value.strip_prefix(['=', ':'])?.trim_start_matches(['=', '>', ' ', '"', '\'', '`']);
    (!value.is_empty()).then_some(value)
}

fn value_end(name: &str, value: &str) -> usize {
    let name = name.to_ascii_lowercase();
    // A header's value has spaces: `Bearer …`, `a=1; b=2`. So may a password.
    let to_the_end = name.contains("authorization") || name.contains("cookie") || name.contains("passw");
    if to_the_end {
        return value.len();
    }
    value.find(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '&' | ')' | '}')).unwrap_or(value.len())
}

fn push_word(word: &str, out: &mut String) {
    // What stands around an `@` is an e-mail address; a URL keeps its host.
    if word.find('@').is_some_and(|at| at > 0 || out.ends_with(HIDDEN)) {
        return match word.strip_prefix('@') {
            Some(host) if out.ends_with(HIDDEN) && !host.contains('@') => out.push_str(word),
            _ => out.push_str(HIDDEN),
        };
    }
    for (number, part) in word.split('/').enumerate() {
        if number > 0 {
            out.push('/');
        }
        out.push_str(if is_token(part) { HIDDEN } else { part });
    }
}

/// Whether a client's id may be a token that came in the wrong header: an id has no need to be as long as one.
pub(crate) fn is_like_token(id: &str) -> bool {
    // One in some 1500 random tokens has no digit. Nearly none has no capital.
    is_token(id) || (id.len() >= TOKEN_CHARACTERS_MIN && id.bytes().any(|byte| byte.is_ascii_uppercase()))
}

fn is_token(part: &str) -> bool {
    let json_web = part.starts_with("eyJ") && part.len() > 8;
    json_web || (part.chars().count() >= TOKEN_CHARACTERS_MIN && part.contains(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests;
