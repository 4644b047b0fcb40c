//! The whole process, measured from outside, beside what it stands on: pgbench with the same SQL, and a bare axum.
//!
//! ```text
//! cargo run --release -p benches --bin bench -- ratios
//! cargo run --release -p benches --bin bench -- start
//! cargo run --release -p benches --bin bench -- depth --tasks 1000000
//! ```
//!
//! Each command starts all that it needs, ends by itself, takes everything away, and fails where a bound is broken.
#![expect(clippy::print_stdout, reason = "a program whose output is a table")]

mod bounds;
mod depth;
mod hello;
mod quiet;
mod ratios;
mod stage;
mod start;
mod table;

use std::path::PathBuf;

use anyhow::ensure;
use benches::cpu;
use benches::ground::machine;
use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
struct Args {
    /// The task-api to measure, as one of another build; the workspace's own, built if need be, when absent
    #[arg(long, global = true)]
    program: Option<PathBuf>,
    /// Cores on which all of it runs: the service, PostgreSQL, the load, pgbench
    #[arg(long, global = true, default_value = "0,1")]
    cores: String,
    /// Print what breaks a bound, and do not fail for it
    #[arg(long, global = true)]
    report_only: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// GET, list, create and batch beside pgbench, a request without a database beside axum, SQLite beside PostgreSQL
    Ratios(ratios::Args),
    /// From the start of the process to its first 200, on SQLite
    Start(start::Args),
    /// Blocks that a page reads: deep in the list, and in a large table
    Depth(depth::Args),
    /// Serve a bare axum, until killed: what the request without a database is compared with
    #[command(hide = true)]
    ServeHello(hello::Args),
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Command::ServeHello(hello) = args.command {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        return runtime.block_on(hello::serve(hello));
    }
    println!("{}, cores {}\n", machine(), args.cores);
    cpu::pin(&args.cores)?;
    // One thread: the load takes at most one core.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let broken = runtime.block_on(async {
        match args.command {
            Command::Ratios(ratios) => ratios::run(ratios, args.program).await,
            Command::Start(start) => start::run(&start, args.program).await,
            Command::Depth(depth) => depth::run(depth).await,
            Command::ServeHello(_) => Ok(0), // served above
        }
    })?;
    ensure!(broken == 0 || args.report_only, "{broken} of the bounds are broken");
    Ok(())
}
