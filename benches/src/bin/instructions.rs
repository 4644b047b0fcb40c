//! Instructions of a GET, a list and a create beside the committed figures; `--renew` commits to the new ones.
//!
//! ```text
//! cargo run -p benches --bin instructions
//! cargo run -p benches --bin instructions -- --renew
//! ```
#![expect(clippy::print_stdout, reason = "a program whose output is a table")]

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use benches::instructions::{Counted, count, file};
use clap::Parser;

#[derive(Debug, Parser)]
struct Args {
    /// Write what is counted into the file of the committed figures
    #[arg(long)]
    renew: bool,
    /// The `counted` to count, as one of another build; built when absent
    #[arg(long, conflicts_with = "renew")]
    program: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let counted = runtime.block_on(count(args.program.as_deref()))?;
    let counted = counted.context("valgrind is not installed: scripts/install-test-tools")?;
    let committed =
        std::fs::read_to_string(file()).context("no committed figures").and_then(|text| Counted::parse(&text));
    if args.renew {
        std::fs::write(file(), counted.to_text())?;
        // The table says what has changed.
        print!("{}", counted.table(committed.as_ref().unwrap_or(&counted)));
        return Ok(());
    }
    let committed = committed?;
    print!("{}", counted.table(&committed));
    let differences = counted.differences(&committed);
    ensure!(differences.is_empty(), "{}", differences.join("\n"));
    Ok(())
}
