//! How long the process takes from its start to its first 200 on SQLite.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use benches::exchange::exchange;
use benches::server::Server;
use serde_json::Value;
use tempfile::TempDir;

use crate::bounds::{self, Bound, Measure};

/// How often it is asked. A refused connection costs microseconds.
const POLL_INTERVAL: Duration = Duration::from_micros(200);
const STOP_MAX: Duration = Duration::from_secs(30);
/// What is required, in milliseconds.
const MILLIS_MAX: f64 = 300.0;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Starts in an empty folder, each followed by one with the file that it left
    #[arg(long, default_value_t = 20)]
    rounds: usize,
}

/// Measures, prints, and returns how many bounds are broken.
pub(crate) async fn run(args: &Args, program: Option<PathBuf>) -> anyhow::Result<usize> {
    let program = program.unwrap_or_else(|| testkit::process::binary("task-api"));
    let (mut empty, mut existing) = (Vec::new(), Vec::new());
    for round in 0..=args.rounds {
        let folder = TempDir::new()?;
        let first = start(&program, &folder)?;
        let second = start(&program, &folder)?;
        if round > 0 {
            // The one before read the program from the disk.
            empty.push(first);
            existing.push(second);
        }
    }
    Ok(bounds::print(&[
        Measure::new("start to the first 200 on SQLite, ms: empty folder", Bound::AtMost(MILLIS_MAX), empty),
        Measure::new("start to the first 200 on SQLite, ms: existing file", Bound::AtMost(MILLIS_MAX), existing),
    ]))
}

/// Milliseconds from before the fork until `/ready`, which asks the database, is answered by 200.
fn start(program: &std::path::Path, folder: &TempDir) -> anyhow::Result<f64> {
    let database = format!("sqlite://{}", folder.path().join("data/tasks.db").display());
    let started = Instant::now();
    let mut server = Server::spawn(program, &[], &[("DATABASE_URL", database)])?;
    let ready = |server: &Server| {
        exchange(server.api, "GET", "/ready", None, &Value::Null).is_ok_and(|(status, _)| status == 200)
    };
    server.until(POLL_INTERVAL, ready)?;
    let took = started.elapsed();
    // It may not listen for signals yet, and then ends at once: either way it is gone before the next begins.
    server.stop(STOP_MAX)?;
    Ok(took.as_secs_f64() * 1e3)
}
