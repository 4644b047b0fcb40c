//! One file for each command.

pub mod clean;
pub mod compare;
pub mod explore;
pub mod find_max;
pub mod run;
pub mod self_test;
pub mod soak;

use std::io::{self, Write};
use std::process::ExitCode;

use tokio::sync::watch;

use crate::cli::{Arguments, Command};
use crate::stage::NoStage;
use crate::terminal;
use crate::verdict::Verdict;

/// What EX_USAGE of sysexits.h is.
pub const USAGE: u8 = 64;
/// What a shell reports after Ctrl-C.
const ABORTED: u8 = 130;
/// How often something is measured that comes out INVALID, within a command that measures many: what kept this machine busy may be
/// over, and is not what was asked.
const ATTEMPTS_MAX: u32 = 3;

/// Why a command has no outcome. One line each.
#[derive(Debug)]
pub enum Refusal {
    /// It was called wrongly: 64.
    Usage(String),
    /// The target, or this machine, does not let it measure: INVALID, 2.
    Invalid(String),
}

impl From<NoStage> for Refusal {
    fn from(why: NoStage) -> Self {
        match why {
            NoStage::Refused(why) => Self::Invalid(why),
            NoStage::Stopped(None) => {
                Self::Invalid("stopped before the first request; nothing is left behind".to_owned())
            }
            NoStage::Stopped(Some(left)) => Self::Invalid(format!("stopped before the first request; {left}")),
        }
    }
}

/// The exit code of a command, or why it has none.
pub type Done = Result<u8, Refusal>;

/// Does what the command line asks.
pub async fn execute(arguments: Arguments) -> ExitCode {
    let done = match terminal::stop() {
        Err(why) => Err(Refusal::Invalid(why)),
        Ok((stop, mut abort)) => {
            tokio::select! {
                done = command(arguments, stop) => done,
                _ = abort.wait_for(|abort| *abort) => Ok(ABORTED),
            }
        }
    };
    match done {
        Ok(code) => ExitCode::from(code),
        Err(Refusal::Usage(why)) => {
            let _ = writeln!(io::stderr(), "loadtest: {why}");
            ExitCode::from(USAGE)
        }
        Err(Refusal::Invalid(why)) => {
            let _ = writeln!(io::stderr(), "INVALID: {why}");
            ExitCode::from(Verdict::Invalid.code())
        }
    }
}

async fn command(arguments: Arguments, stop: watch::Receiver<bool>) -> Done {
    match arguments.command {
        None => run::execute(&arguments.run, stop).await,
        Some(Command::Run(run)) => run::execute(&run, stop).await,
        Some(Command::Explore(explore)) => explore::execute(&explore, stop).await,
        Some(Command::FindMax(find_max)) => find_max::execute(&find_max, stop).await,
        Some(Command::Soak(soak)) => soak::execute(&soak, stop).await,
        Some(Command::Clean(clean)) => clean::execute(&clean).await,
        Some(Command::Compare(compare)) => compare::execute(&compare),
        Some(Command::SelfTest(self_test)) => self_test::execute(&self_test, stop).await,
    }
}

/// Writes to standard output. That nobody reads on is no mistake.
pub fn print(text: &str) {
    let _ = io::stdout().lock().write_all(text.as_bytes());
}
