//! The Task API: a task-management service that shows what it does.
//!
//! [`app::App`] is built from a [`config::Config`] and runs until it is told to stop. A request passes the edge
//! ([`http::edge`]), a handler ([`auth`], [`projects`], [`tasks`]) and the store ([`store`]), which holds all SQL.

pub mod app;
pub mod auth;
pub mod clock;
pub mod config;
pub mod gate;
pub mod http;
mod percent;
pub mod projects;
pub mod secret;
pub mod store;
pub mod tasks;
pub mod turns;
