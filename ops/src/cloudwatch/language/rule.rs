//! The rule of a composite alarm: `ALARM("a") AND (OK(b) OR NOT INSUFFICIENT_DATA(c))`.

use std::collections::BTreeSet;

use super::lexer::{Cursor, Lexicon, Token};

const LEXICON: Lexicon =
    Lexicon { signs: &["(", ")"], word_starts: "", word_inner: "-.:/", quotes: "\"", units: false };

/// CloudWatch takes no more.
pub const CHILDREN_MAX: usize = 100;

/// The state of an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Within its threshold.
    Ok,
    /// Outside.
    Alarm,
    /// Nobody can say.
    InsufficientData,
}

/// A parsed rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// `TRUE` or `FALSE`.
    Always(bool),
    /// Whether an alarm, by its name, is in a state.
    Is(State, String),
    /// `NOT a`.
    Not(Box<Rule>),
    /// `a AND b`.
    And(Box<Rule>, Box<Rule>),
    /// `a OR b`.
    Or(Box<Rule>, Box<Rule>),
}

impl Rule {
    /// Parses a rule.
    ///
    /// # Errors
    /// What is wrong with it, in a few words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut cursor = Cursor::new(text, LEXICON)?;
        let rule = or(&mut cursor)?;
        cursor.end()?;
        Ok(rule)
    }

    /// The names of the alarms that it looks at.
    pub fn children(&self) -> BTreeSet<&str> {
        match self {
            Self::Always(_) => BTreeSet::new(),
            Self::Is(_, name) => BTreeSet::from([name.as_str()]),
            Self::Not(rule) => rule.children(),
            Self::And(left, right) | Self::Or(left, right) => &left.children() | &right.children(),
        }
    }

    /// Whether it holds, given the states of the alarms.
    pub fn holds(&self, state: &dyn Fn(&str) -> Option<State>) -> bool {
        match self {
            Self::Always(truth) => *truth,
            Self::Is(wanted, name) => state(name) == Some(*wanted),
            Self::Not(rule) => !rule.holds(state),
            Self::And(left, right) => left.holds(state) && right.holds(state),
            Self::Or(left, right) => left.holds(state) || right.holds(state),
        }
    }
}

fn or(cursor: &mut Cursor) -> Result<Rule, String> {
    let mut left = and(cursor)?;
    while cursor.word("OR") {
        left = Rule::Or(Box::new(left), Box::new(and(cursor)?));
    }
    Ok(left)
}

fn and(cursor: &mut Cursor) -> Result<Rule, String> {
    let mut left = one(cursor)?;
    while cursor.word("AND") {
        left = Rule::And(Box::new(left), Box::new(one(cursor)?));
    }
    Ok(left)
}

fn one(cursor: &mut Cursor) -> Result<Rule, String> {
    cursor.deeper()?;
    let rule = if cursor.word("NOT") {
        Rule::Not(Box::new(one(cursor)?))
    } else if cursor.sign("(") {
        let rule = or(cursor)?;
        cursor.expect(")")?;
        rule
    } else if cursor.word("TRUE") {
        Rule::Always(true)
    } else if cursor.word("FALSE") {
        Rule::Always(false)
    } else {
        let states = [("ALARM", State::Alarm), ("OK", State::Ok), ("INSUFFICIENT_DATA", State::InsufficientData)];
        let state = states.into_iter().find(|(word, _)| cursor.word(word));
        let (_, state) = state.ok_or_else(|| cursor.wanted("ALARM(…), OK(…), INSUFFICIENT_DATA(…), NOT or \"(\""))?;
        cursor.expect("(")?;
        let name = match cursor.take() {
            Some(Token::Text(name) | Token::Word(name)) => name,
            _ => return Err("an alarm's name is expected in the brackets".to_owned()),
        };
        cursor.expect(")")?;
        Rule::Is(state, name)
    };
    cursor.shallower();
    Ok(rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn and_binds_tighter_than_or_and_not_tightest() {
        let rule = Rule::parse("ALARM(a) OR NOT OK(\"b c\") AND INSUFFICIENT_DATA(d)").expect("a rule");
        assert_eq!(rule.children(), BTreeSet::from(["a", "b c", "d"]));
        let holds = |a: State, b: State, d: State| {
            rule.holds(&|name| {
                Some(match name {
                    "a" => a,
                    "d" => d,
                    _ => b,
                })
            })
        };
        use State::{Alarm, InsufficientData as None, Ok};
        assert!(holds(Alarm, Ok, Ok) && holds(Ok, Alarm, None));
        assert!(!holds(Ok, Ok, None) && !holds(Ok, Alarm, Ok));
    }

    #[test]
    fn a_broken_rule_is_refused() {
        for (text, message) in [
            ("", "is expected at the end"),
            ("ALARM(a) AND", "is expected at the end"),
            ("ALARM(a", "\")\" is expected at the end"),
            ("ALARM a", "\"(\" is expected before a"),
            ("ALARM(a) ALARM(b)", "ALARM is not expected"),
            ("ALERT(a)", "is expected before ALERT"),
            ("ALARM(\"a)", "has no end"),
            ("ALARM()", "name is expected"),
        ] {
            let refused = Rule::parse(text).expect_err(text);
            assert!(refused.contains(message), "{text}: {refused}");
        }
    }
}
