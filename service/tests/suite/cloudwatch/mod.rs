//! The CloudWatch Logs shipper against a real server, on bad days: every line is accounted for, and with the spool none
//! is lost.

mod binary;
mod emf;
mod faults;
mod rig;
mod unreadable;
