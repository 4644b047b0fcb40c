//! What the benches and the whole-process benchmarks share: servers, receivers, a load of keep-alive connections, figures.
//!
//! Nothing here is a mock of the service: `overhead`, `harm` and `bench` start the real binary on a real PostgreSQL. Only the other
//! ends of its telemetry are ours, because a real one would take the core that the service is measured on.

pub mod arrivals;
pub mod confine;
pub mod cpu;
pub mod dataset;
pub mod exchange;
pub mod figures;
pub mod ground;
pub mod instructions;
pub mod load;
pub mod pgbench;
pub mod receiver;
pub mod script;
pub mod server;
pub mod statements;
