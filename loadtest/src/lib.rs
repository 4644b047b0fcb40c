//! The load generator: a verdict on the objectives, and a place to explore.
//!
//! `pace` gives requests away when they are due, `pool` sends them, `record` measures, `verdict` judges, `report` tells.

pub mod api;
pub mod cli;
pub mod client;
pub mod clock;
pub mod commands;
pub mod drive;
pub mod duration;
mod examine;
pub mod exposition;
pub mod fixture;
pub mod generator;
pub mod journey;
pub mod leftovers;
pub mod outcome;
pub mod pace;
pub mod pool;
pub mod profile;
pub mod random;
pub mod record;
pub mod report;
pub mod stage;
pub mod statistics;
pub mod target;
pub mod terminal;
pub mod traits;
pub mod verdict;
pub mod world;
