//! `canary`: probes a deployed Task API once, or in a loop; shows what earlier runs found.

use std::process::ExitCode;

use canary::args::{Args, Ended};
use canary::commands::{self, USAGE};
use canary::output::say;

fn main() -> ExitCode {
    match Args::read() {
        Ok(args) => commands::execute(args.command),
        Err(Ended::Asked(help)) => {
            let _ = help.print();
            ExitCode::SUCCESS
        }
        Err(Ended::Refused(why)) => {
            say(&why);
            ExitCode::from(USAGE)
        }
    }
}
