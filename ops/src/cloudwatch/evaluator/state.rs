//! From data points to a state: M of N, and what is done when some are missing.

use super::State;

/// How missing data is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// As it is: without any data the state is not known.
    Missing,
    /// The state stays.
    Ignore,
    /// As bad.
    Breaching,
    /// As good.
    NotBreaching,
}

/// M of N, and how missing data is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// So many breaching data points …
    pub datapoints: usize,
    /// … of so many are an alarm.
    pub periods: usize,
    /// How missing data is treated.
    pub missing: Missing,
}

impl Rule {
    /// How many data points CloudWatch looks at, so as to have enough when some are missing.
    pub fn range(&self) -> usize {
        self.periods + 2
    }
}

/// The state that follows from the data points of the evaluation range, the newest first: whether each breaches, none
/// where there is no data.
pub fn decide(points: &[Option<bool>], rule: Rule, now: State) -> State {
    let judged = |breaching: usize| if breaching >= rule.datapoints { State::Alarm } else { State::Ok };
    let real: Vec<bool> = points.iter().flatten().copied().collect();
    if real.len() >= rule.periods {
        // Enough real ones: the newest of them, however old, and nothing is filled in.
        return judged(real.iter().take(rule.periods).filter(|breaches| **breaches).count());
    }
    let (breaching, missing) = (real.iter().filter(|breaches| **breaches).count(), rule.periods - real.len());
    match rule.missing {
        Missing::Breaching => judged(breaching + missing),
        Missing::NotBreaching => judged(breaching),
        Missing::Missing if real.is_empty() => State::InsufficientData,
        Missing::Ignore if real.is_empty() => now,
        _ if breaching >= rule.datapoints => State::Alarm,
        Missing::Missing if premature(points, rule) => State::Alarm,
        Missing::Ignore if premature(points, rule) => now,
        _ => State::Ok,
    }
}

/// All that is known is bad, and has been for as many data points as make an alarm: CloudWatch does not wait for more.
fn premature(points: &[Option<bool>], rule: Rule) -> bool {
    let oldest = points.iter().rposition(Option::is_some);
    points.iter().flatten().all(|breaches| *breaches) && oldest.is_some_and(|age| age + 1 >= rule.datapoints)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Missing; 4] = [Missing::Missing, Missing::Ignore, Missing::Breaching, Missing::NotBreaching];

    /// As the guide writes it: the oldest first, `0` good, `X` bad, `-` missing.
    fn points(text: &str) -> Vec<Option<bool>> {
        let point = |c: char| match c {
            '0' => Some(false),
            'X' => Some(true),
            _ => None,
        };
        text.chars().rev().map(point).collect()
    }

    #[test]
    fn the_tables_of_the_guide_hold() {
        use State::{Alarm as A, InsufficientData as I, Ok};
        // Datapoints to alarm, data points, and the states for missing, ignore, breaching, notBreaching; of 3 periods.
        // `None` retains the current state.
        let table: [(usize, &str, [Option<State>; 4]); 10] = [
            (3, "0-X-X", [Some(Ok), Some(Ok), Some(Ok), Some(Ok)]),
            (3, "0----", [Some(Ok), Some(Ok), Some(Ok), Some(Ok)]),
            (3, "-----", [Some(I), None, Some(A), Some(Ok)]),
            (3, "0XX-X", [Some(A), Some(A), Some(A), Some(A)]),
            (3, "--X--", [Some(A), None, Some(A), Some(Ok)]),
            (2, "0-X-X", [Some(A), Some(A), Some(A), Some(A)]),
            (2, "00X0X", [Some(A), Some(A), Some(A), Some(A)]),
            (2, "0-X--", [Some(Ok), Some(Ok), Some(A), Some(Ok)]),
            (2, "----0", [Some(Ok), Some(Ok), Some(A), Some(Ok)]),
            (2, "---X-", [Some(A), None, Some(A), Some(Ok)]),
        ];
        for (datapoints, text, states) in table {
            for (missing, expected) in ALL.into_iter().zip(states) {
                for now in [A, I, Ok] {
                    let rule = Rule { datapoints, periods: 3, missing };
                    assert_eq!(points(text).len(), rule.range());
                    assert_eq!(
                        decide(&points(text), rule, now),
                        expected.unwrap_or(now),
                        "{datapoints} {text} {missing:?}"
                    );
                }
            }
        }
    }

    fn any_rule() -> impl Strategy<Value = (Rule, Vec<Option<bool>>)> {
        (1_usize..6).prop_flat_map(|periods| {
            let points = prop::collection::vec(prop::option::of(any::<bool>()), periods + 2);
            (1..=periods, prop::sample::select(ALL.to_vec()), points)
                .prop_map(move |(datapoints, missing, points)| (Rule { datapoints, periods, missing }, points))
        })
    }

    proptest! {
        #[test]
        fn without_gaps_the_treatment_of_gaps_does_not_matter((rule, points) in any_rule()) {
            let points: Vec<Option<bool>> = points.iter().map(|point| Some(point.unwrap_or(false))).collect();
            let bad = points.iter().take(rule.periods).filter(|point| **point == Some(true)).count();
            let expected = if bad >= rule.datapoints { State::Alarm } else { State::Ok };
            for missing in ALL {
                prop_assert_eq!(decide(&points, Rule { missing, ..rule }, State::InsufficientData), expected);
            }
        }

        #[test]
        fn good_for_missing_never_alarms_where_bad_for_missing_does_not((rule, points) in any_rule()) {
            let with = |missing| decide(&points, Rule { missing, ..rule }, State::Ok);
            if with(Missing::NotBreaching) == State::Alarm {
                prop_assert_eq!(with(Missing::Breaching), State::Alarm);
            }
        }

        #[test]
        fn one_more_bad_point_never_ends_an_alarm((rule, points) in any_rule(), at in 0_usize..8) {
            let mut worse = points.clone();
            let at = at % worse.len();
            if worse[at] == Some(false) {
                worse[at] = Some(true);
                if decide(&points, rule, State::Ok) == State::Alarm {
                    prop_assert_eq!(decide(&worse, rule, State::Ok), State::Alarm);
                }
            }
        }

        #[test]
        fn only_missing_data_left_as_it_is_is_insufficient((rule, points) in any_rule()) {
            let state = decide(&points, rule, State::Ok);
            let expected = rule.missing == Missing::Missing && points.iter().all(Option::is_none);
            prop_assert_eq!(state == State::InsufficientData, expected);
        }
    }
}
