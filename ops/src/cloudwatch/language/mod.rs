//! The small languages inside the template: metric math, alarm rules, filter patterns, Logs Insights queries.

pub mod insights;
pub mod lexer;
pub mod math;
pub mod pattern;
pub mod rule;
