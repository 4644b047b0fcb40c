//! Words, numbers, quoted texts and signs: what all these languages are made of.

use std::fmt;

/// The longest text that is read; nothing in CloudWatch is longer.
const LENGTH_MAX: usize = 10_240;

/// A token.
#[derive(Debug, Clone, PartialEq)]
pub enum Token {
    /// A name, with the characters that the language allows besides letters, digits and `_`.
    Word(String),
    /// A number.
    Number(f64),
    /// What stood between quotes.
    Text(String),
    /// One of the language's signs.
    Sign(&'static str),
}

impl fmt::Display for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => formatter.write_str(word),
            Self::Number(number) => write!(formatter, "{number}"),
            Self::Text(text) => write!(formatter, "{text:?}"),
            Self::Sign(sign) => formatter.write_str(sign),
        }
    }
}

/// What a language's tokens look like.
#[derive(Debug, Clone, Copy)]
pub struct Lexicon {
    /// The signs, longer ones first.
    pub signs: &'static [&'static str],
    /// Characters that begin a word besides letters and `_`.
    pub word_starts: &'static str,
    /// Characters within a word besides letters, digits and `_`.
    pub word_inner: &'static str,
    /// What quotes a text; a backslash escapes.
    pub quotes: &'static str,
    /// Whether a number with a unit, `5m`, is a word.
    pub units: bool,
}

/// The tokens of a text.
///
/// # Errors
/// When a character belongs to no token, or a text does not end.
pub fn tokens(text: &str, lexicon: Lexicon) -> Result<Vec<Token>, String> {
    if text.len() > LENGTH_MAX {
        return Err(format!("is longer than {LENGTH_MAX} characters"));
    }
    let (mut rest, mut tokens) = (text.trim_start(), Vec::new());
    while let Some(first) = rest.chars().next() {
        let (token, length) = next(rest, first, lexicon)?;
        tokens.push(token);
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

fn next(rest: &str, first: char, lexicon: Lexicon) -> Result<(Token, usize), String> {
    let span = |accept: &dyn Fn(char) -> bool| rest.find(|c: char| !accept(c)).unwrap_or(rest.len());
    if lexicon.quotes.contains(first) {
        return quoted(rest, first);
    }
    if first.is_ascii_digit() || (first == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit())) {
        let length = span(&|c| c.is_ascii_alphanumeric() || c == '.');
        return match rest[..length].parse() {
            Ok(number) => Ok((Token::Number(number), length)),
            Err(_) if lexicon.units => Ok((Token::Word(rest[..length].to_owned()), length)),
            Err(_) => Err(format!("{} is no number", &rest[..length])),
        };
    }
    if first.is_ascii_alphabetic() || first == '_' || lexicon.word_starts.contains(first) {
        let length = span(&|c| {
            c.is_ascii_alphanumeric() || c == '_' || lexicon.word_starts.contains(c) || lexicon.word_inner.contains(c)
        });
        return Ok((Token::Word(rest[..length].to_owned()), length));
    }
    let sign = lexicon.signs.iter().find(|sign| rest.starts_with(**sign));
    sign.map(|sign| (Token::Sign(sign), sign.len())).ok_or_else(|| format!("{first:?} is not understood"))
}

fn quoted(rest: &str, quote: char) -> Result<(Token, usize), String> {
    let (mut text, mut escaped) = (String::new(), false);
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            c if escaped => {
                text.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            c if c == quote => return Ok((Token::Text(text), at + c.len_utf8())),
            c => text.push(c),
        }
    }
    Err(format!("a text that begins with {quote} has no end"))
}

/// Reads tokens one after the other.
#[derive(Debug)]
pub struct Cursor {
    tokens: Vec<Token>,
    at: usize,
    depth: u32,
}

/// Deeper nesting than anybody writes.
const DEPTH_MAX: u32 = 64;

impl Cursor {
    /// At the first token of a text.
    ///
    /// # Errors
    /// As [`tokens`].
    pub fn new(text: &str, lexicon: Lexicon) -> Result<Self, String> {
        Ok(Self { tokens: tokens(text, lexicon)?, at: 0, depth: 0 })
    }

    /// The next token, which stays.
    pub fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    /// The token after the next.
    pub fn peek_second(&self) -> Option<&Token> {
        self.tokens.get(self.at + 1)
    }

    /// Takes the next token.
    pub fn take(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    /// Takes this sign if it is next.
    pub fn sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Sign(next)) if *next == sign);
        self.at += usize::from(found);
        found
    }

    /// Takes this word, whatever its case, if it is next.
    pub fn word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(next)) if next.eq_ignore_ascii_case(word));
        self.at += usize::from(found);
        found
    }

    /// Takes this sign.
    ///
    /// # Errors
    /// When something else is next.
    pub fn expect(&mut self, sign: &str) -> Result<(), String> {
        if self.sign(sign) { Ok(()) } else { Err(self.wanted(&format!("{sign:?}"))) }
    }

    /// What is said when something else is next than what is wanted.
    pub fn wanted(&self, what: &str) -> String {
        match self.peek() {
            Some(token) => format!("{what} is expected before {token}"),
            None => format!("{what} is expected at the end"),
        }
    }

    /// Goes one level deeper.
    ///
    /// # Errors
    /// When nothing that people write is so deep.
    pub fn deeper(&mut self) -> Result<(), String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX { Err("is nested too deep".to_owned()) } else { Ok(()) }
    }

    /// Comes back from [`Cursor::deeper`].
    pub fn shallower(&mut self) {
        self.depth -= 1;
    }

    /// That nothing is left.
    ///
    /// # Errors
    /// When something is.
    pub fn end(&self) -> Result<(), String> {
        self.peek().map_or(Ok(()), |token| Err(format!("{token} is not expected")))
    }
}
