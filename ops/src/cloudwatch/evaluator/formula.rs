//! Metric math over the data points of an alarm.

use super::super::language::math::{Expression, Operator};

/// A number, or a value for each data point, the newest first.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Number(f64),
    Series(Vec<Option<f64>>),
}

impl Value {
    fn at(&self, point: usize) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Series(points) => points.get(point).copied().flatten(),
        }
    }

    /// As data points; a number is the same at each.
    pub(super) fn points(&self, count: usize) -> Vec<Option<f64>> {
        (0..count).map(|point| self.at(point)).collect()
    }
}

/// The value of an expression over `count` data points; `read` gives what stands behind an id.
///
/// # Errors
/// When it calls something that alarms cannot.
pub(super) fn value(
    expression: &Expression,
    count: usize,
    read: &dyn Fn(&str) -> Result<Value, String>,
) -> Result<Value, String> {
    let value_of = |part: &Expression| value(part, count, read);
    match expression {
        Expression::Number(number) => Ok(Value::Number(*number)),
        Expression::Id(id) => read(id),
        Expression::Negative(part) => Ok(joined(&[value_of(part)?], count, |values| Some(-values[0]?))),
        Expression::Binary(operator, left, right) => {
            let parts = [value_of(left)?, value_of(right)?];
            Ok(joined(&parts, count, |values| binary(*operator, values[0]?, values[1]?)))
        }
        Expression::Call("IF", arguments) => {
            let parts = arguments.iter().map(value_of).collect::<Result<Vec<_>, _>>()?;
            Ok(joined(&parts, count, |values| if values[0]? == 0.0 { values[2] } else { values[1] }))
        }
        Expression::Call("FILL", arguments) => {
            let parts = arguments.iter().map(value_of).collect::<Result<Vec<_>, _>>()?;
            Ok(joined(&parts, count, |values| values[0].or(values[1])))
        }
        Expression::Call(name @ ("ABS" | "CEIL" | "FLOOR"), arguments) => {
            let of = match *name {
                "ABS" => f64::abs,
                "CEIL" => f64::ceil,
                _ => f64::floor,
            };
            let parts = arguments.iter().map(value_of).collect::<Result<Vec<_>, _>>()?;
            Ok(joined(&parts, count, |values| values[0].map(of)))
        }
        Expression::Call(name, arguments) => reduced(name, arguments, count, &value_of),
        Expression::List(_) => Err("a list is no value by itself".to_owned()),
        Expression::Text(_) => Err("a text is no value".to_owned()),
    }
}

/// MAX, MIN, SUM, AVG: of a list point by point, of one series all its points as one number.
fn reduced(
    name: &str,
    arguments: &[Expression],
    count: usize,
    value_of: &dyn Fn(&Expression) -> Result<Value, String>,
) -> Result<Value, String> {
    let fold = |values: &mut dyn Iterator<Item = f64>| -> Option<f64> {
        let values: Vec<f64> = values.collect();
        let sum: f64 = values.iter().sum();
        if values.is_empty() {
            return None;
        }
        Some(match name {
            "MAX" => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            "MIN" => values.iter().copied().fold(f64::INFINITY, f64::min),
            "AVG" => sum / values.len() as f64,
            _ => sum,
        })
    };
    if !["MAX", "MIN", "SUM", "AVG"].contains(&name) {
        return Err(format!("an alarm cannot evaluate {name}"));
    }
    match arguments {
        [Expression::List(parts)] => {
            let parts = parts.iter().map(value_of).collect::<Result<Vec<_>, _>>()?;
            Ok(joined(&parts, count, |values| fold(&mut values.iter().flatten().copied())))
        }
        [one] => {
            let points = value_of(one)?.points(count);
            Ok(fold(&mut points.into_iter().flatten()).map_or_else(|| Value::Series(vec![None; count]), Value::Number))
        }
        _ => Err(format!("{name} takes one argument")),
    }
}

/// Point by point; numbers alone stay a number.
fn joined(parts: &[Value], count: usize, join: impl Fn(&[Option<f64>]) -> Option<f64>) -> Value {
    let at = |point: usize| join(&parts.iter().map(|part| part.at(point)).collect::<Vec<_>>());
    if parts.iter().all(|part| matches!(part, Value::Number(_)))
        && let Some(number) = at(0)
    {
        return Value::Number(number);
    }
    Value::Series((0..count).map(at).collect())
}

fn binary(operator: Operator, left: f64, right: f64) -> Option<f64> {
    let truth = |truth: bool| Some(f64::from(u8::from(truth)));
    match operator {
        Operator::Or => truth(left != 0.0 || right != 0.0),
        Operator::And => truth(left != 0.0 && right != 0.0),
        Operator::Equal => truth(left == right),
        Operator::Unequal => truth(left != right),
        Operator::AtMost => truth(left <= right),
        Operator::AtLeast => truth(left >= right),
        Operator::Below => truth(left < right),
        Operator::Above => truth(left > right),
        Operator::Add => Some(left + right),
        Operator::Subtract => Some(left - right),
        Operator::Multiply => Some(left * right),
        // There is no data point where there is nothing to divide by.
        Operator::Divide => (right != 0.0).then(|| left / right),
        Operator::Power => Some(left.powf(right)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(text: &str) -> Result<Vec<Option<f64>>, String> {
        let expression = Expression::parse(text)?;
        let read = |id: &str| match id {
            "some" => Ok(Value::Series(vec![Some(2.0), None, Some(6.0)])),
            "none" => Ok(Value::Series(vec![None; 3])),
            "zero" => Ok(Value::Series(vec![Some(0.0); 3])),
            other => Err(format!("no {other}")),
        };
        Ok(value(&expression, 3, &read)?.points(3))
    }

    #[test]
    fn a_missing_point_stays_missing_unless_it_is_filled() {
        let all = |number: f64| Ok(vec![Some(number); 3]);
        assert_eq!(points("some*2+1"), Ok(vec![Some(5.0), None, Some(13.0)]));
        assert_eq!(points("FILL(some,0)"), Ok(vec![Some(2.0), Some(0.0), Some(6.0)]));
        assert_eq!(points("FILL(none,7)"), all(7.0));
        assert_eq!(points("some/zero"), Ok(vec![None; 3]));
        // The division by zero is in the part that is not taken.
        assert_eq!(points("IF(zero>0,some/zero,0)"), all(0.0));
        assert_eq!(points("IF(FILL(none,0)>=1 AND some>0,1,0)"), Ok(vec![Some(0.0), None, Some(0.0)]));
        assert_eq!(points("MAX(some)"), all(6.0));
        assert_eq!(points("SUM([some,zero])"), Ok(vec![Some(2.0), Some(0.0), Some(6.0)]));
        assert_eq!(points("AVG([some,10])"), Ok(vec![Some(6.0), Some(10.0), Some(8.0)]));
        assert_eq!(points("-ABS(0-2)^2"), all(4.0));
        assert_eq!(points("SEARCH('x','Sum')"), Err("an alarm cannot evaluate SEARCH".to_owned()));
    }
}
