//! Logs and metrics to CloudWatch: a bounded queue, a disk spool that may be absent, and one thread that sends.
//!
//! A line is in exactly one place at every moment, and the places add up: `produced = delivered + rejected + dropped +
//! spooled + queued`. A request that logs pays for a lock and a copy at most, whatever state CloudWatch is in.

mod batch;
mod client;
mod cut;
mod deliver;
mod emf;
mod event;
mod queue;
mod region;
mod settings;
mod shipper;
mod spool;
mod stats;
mod worker;

pub use self::{
    emf::Aggregator,
    settings::{
        CloudWatchSettings, IN_FLIGHT_MAX, Pace, QUEUE_BYTES_MAX, QUEUE_ERROR_RESERVE, QUEUE_EVENTS_MAX,
        RETENTION_DAYS, RETENTIONS, SPOOL_BYTES_MAX, SpoolSettings, is_log_group, is_log_stream, is_namespace,
    },
    shipper::{Shipper, ShipperStats},
    stats::ShipperCounts,
};
pub(crate) use self::{queue::Queue, worker::on_own_thread};

#[cfg(test)]
mod queue_tests;
#[cfg(test)]
mod signed_tests;
