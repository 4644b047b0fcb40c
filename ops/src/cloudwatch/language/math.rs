//! Metric math: the part of it that alarms use.

use std::collections::BTreeSet;

use super::lexer::{Cursor, Lexicon, Token};

const LEXICON: Lexicon = Lexicon {
    signs: &["==", "!=", "<=", ">=", "&&", "||", "<", ">", "+", "-", "*", "/", "^", "(", ")", "[", "]", ","],
    word_starts: "",
    word_inner: "",
    quotes: "'\"",
    units: false,
};

/// The functions that are understood, with the fewest and most arguments.
const FUNCTIONS: &[(&str, usize, usize)] = &[
    ("IF", 3, 3),
    ("FILL", 2, 2),
    ("MAX", 1, 1),
    ("MIN", 1, 1),
    ("SUM", 1, 1),
    ("AVG", 1, 1),
    ("ABS", 1, 1),
    ("CEIL", 1, 1),
    ("FLOOR", 1, 1),
    ("SEARCH", 2, 3),
];

/// From the loosest to the tightest; each line is of one strength.
const OPERATORS: &[&[(&str, Operator)]] = &[
    &[("OR", Operator::Or), ("||", Operator::Or)],
    &[("AND", Operator::And), ("&&", Operator::And)],
    &[
        ("==", Operator::Equal),
        ("!=", Operator::Unequal),
        ("<=", Operator::AtMost),
        (">=", Operator::AtLeast),
        ("<", Operator::Below),
        (">", Operator::Above),
    ],
    &[("+", Operator::Add), ("-", Operator::Subtract)],
    &[("*", Operator::Multiply), ("/", Operator::Divide)],
    &[("^", Operator::Power)],
];

/// What two values are joined by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is what its name says")]
pub enum Operator {
    Or,
    And,
    Equal,
    Unequal,
    AtMost,
    AtLeast,
    Below,
    Above,
    Add,
    Subtract,
    Multiply,
    Divide,
    Power,
}

/// A parsed expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Expression {
    /// A number.
    Number(f64),
    /// A text: only SEARCH takes one.
    Text(String),
    /// A metric or another expression by its id.
    Id(String),
    /// `[a, b]`.
    List(Vec<Expression>),
    /// `-a`.
    Negative(Box<Expression>),
    /// `a + b`.
    Binary(Operator, Box<Expression>, Box<Expression>),
    /// `F(a, b)`; the name in capitals.
    Call(&'static str, Vec<Expression>),
}

impl Expression {
    /// Parses an expression.
    ///
    /// # Errors
    /// What is wrong with it, in a few words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut cursor = Cursor::new(text, LEXICON)?;
        let expression = binary(&mut cursor, 0)?;
        cursor.end()?;
        Ok(expression)
    }

    /// The ids that it reads.
    pub fn ids(&self) -> BTreeSet<&str> {
        let mut ids = BTreeSet::new();
        self.visit(&mut |part| {
            if let Self::Id(id) = part {
                ids.insert(id.as_str());
            }
        });
        ids
    }

    /// Whether it calls this function.
    pub fn calls(&self, function: &str) -> bool {
        let mut found = false;
        self.visit(&mut |part| found |= matches!(part, Self::Call(name, _) if *name == function));
        found
    }

    /// Sees each part, the whole first.
    pub fn visit<'a>(&'a self, see: &mut dyn FnMut(&'a Self)) {
        see(self);
        match self {
            Self::Number(_) | Self::Text(_) | Self::Id(_) => {}
            Self::List(parts) | Self::Call(_, parts) => parts.iter().for_each(|part| part.visit(see)),
            Self::Negative(part) => part.visit(see),
            Self::Binary(_, left, right) => {
                left.visit(see);
                right.visit(see);
            }
        }
    }
}

fn binary(cursor: &mut Cursor, strength: usize) -> Result<Expression, String> {
    let Some(operators) = OPERATORS.get(strength) else { return unary(cursor) };
    let mut left = binary(cursor, strength + 1)?;
    while let Some((_, operator)) = operators.iter().find(|(sign, _)| cursor.sign(sign) || cursor.word(sign)) {
        let right = binary(cursor, strength + 1)?;
        left = Expression::Binary(*operator, Box::new(left), Box::new(right));
    }
    Ok(left)
}

fn unary(cursor: &mut Cursor) -> Result<Expression, String> {
    cursor.deeper()?;
    let expression = if cursor.sign("-") {
        Expression::Negative(Box::new(unary(cursor)?))
    } else if cursor.sign("(") {
        let inner = binary(cursor, 0)?;
        cursor.expect(")")?;
        inner
    } else if cursor.sign("[") {
        Expression::List(list(cursor, "]")?)
    } else {
        match cursor.take() {
            Some(Token::Number(number)) => Expression::Number(number),
            Some(Token::Text(text)) => Expression::Text(text),
            Some(Token::Word(name)) if cursor.sign("(") => call(cursor, &name)?,
            Some(Token::Word(name)) => Expression::Id(name),
            Some(token) => return Err(format!("a value is expected before {token}")),
            None => return Err("a value is expected at the end".to_owned()),
        }
    };
    cursor.shallower();
    Ok(expression)
}

fn list(cursor: &mut Cursor, end: &str) -> Result<Vec<Expression>, String> {
    let mut parts = vec![binary(cursor, 0)?];
    while cursor.sign(",") {
        parts.push(binary(cursor, 0)?);
    }
    cursor.expect(end)?;
    Ok(parts)
}

fn call(cursor: &mut Cursor, name: &str) -> Result<Expression, String> {
    let known = FUNCTIONS.iter().find(|(function, ..)| *function == name);
    let (function, least, most) = *known.ok_or_else(|| format!("there is no function {name}"))?;
    let arguments = list(cursor, ")")?;
    if !(least..=most).contains(&arguments.len()) {
        return Err(format!("{function} does not take {} arguments", arguments.len()));
    }
    Ok(Expression::Call(function, arguments))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_bind_as_in_arithmetic() {
        let parse = |text| Expression::parse(text).expect(text);
        assert_eq!(parse("1+2*3"), parse("1+(2*3)"));
        assert_eq!(parse("a+1>2 AND b<3 OR c"), parse("(((a+1)>2) && (b<3)) || c"));
        assert_eq!(parse("-a*2"), parse("(-a)*2"));
        assert_ne!(parse("a-b-c"), parse("a-(b-c)"));
        assert_eq!(parse("IF(a>0,FILL(b,0)/a,0)").ids(), BTreeSet::from(["a", "b"]));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, message) in [
            ("", "a value is expected at the end"),
            ("a+", "a value is expected at the end"),
            ("(a", "\")\" is expected at the end"),
            ("a b", "b is not expected"),
            ("IF(a>0,1)", "IF does not take 2 arguments"),
            ("ANOMALY(a)", "there is no function ANOMALY"),
            ("a ? b", "'?' is not understood"),
            ("1.2.3", "1.2.3 is no number"),
            ("a)", ") is not expected"),
        ] {
            assert_eq!(Expression::parse(text), Err(message.to_owned()), "{text}");
        }
        assert!(Expression::parse(&"(".repeat(10_000)).is_err_and(|error| error.contains("too deep")));
    }
}
