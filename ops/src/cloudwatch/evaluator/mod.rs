//! How CloudWatch evaluates alarms: periods, statistics, missing data, M of N, few samples, metric math, composites. An
//! alarm of the template runs against made-up metrics, so that what it does in an outage is known before the outage.
//!
//! After the pages "Alarm evaluation" and "Configuring how CloudWatch alarms treat missing data" of CloudWatch's user
//! guide, whose two tables of examples are tests here. What the guide leaves open: the evaluation range is taken as two
//! data points more than the evaluation periods, as in its examples; a sample arrives
//! at the end of its minute, or as late as the world says; and a long window slides by the minute, by the hour when it
//! reaches back more than a day.

mod formula;
mod run;
mod series;
mod state;
mod statistic;

pub use super::language::rule::State;
pub use run::{Change, Simulation};
pub use series::{Id, Sample, World};
pub use state::{Missing, Rule, decide};
