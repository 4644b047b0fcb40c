//! Prometheus and Alertmanager: the rendered rules under promtool, amtool, and as they run.

mod cadence;
mod canary;
mod live;
mod mutants;
mod promtool;
mod refused;
mod routes;
mod scaled;
mod servers;
mod watch;
