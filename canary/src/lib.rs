//! The synthetic prober of a deployed Task API: it does from outside, every minute, what a user does, and says which step,
//! which phase and which address is bad.
//!
//! - [`args`], [`config`], [`credentials`]: what it is told, checked at the start.
//! - [`probe`]: one request, timed phase by phase, to one address.
//! - [`journey`]: the steps of a run, their checks, the sweep and the clean-up.
//! - [`report`]: what a run has found; everything that is shown, counted or kept comes from it.
//! - [`output`], [`history`], [`emf`], [`serve`]: where a report goes.

pub mod args;
mod clock;
pub mod commands;
pub mod config;
pub mod credentials;
pub mod emf;
mod evidence;
pub mod history;
pub mod journey;
mod lookup;
pub mod output;
pub mod probe;
mod redirect;
pub mod report;
pub mod run;
pub mod serve;
pub mod shipping;
mod show;
