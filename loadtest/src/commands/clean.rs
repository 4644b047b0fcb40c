//! `loadtest clean`: takes away what killed runs have left.

use super::{Done, Refusal, print};
use crate::cli::CleanArgs;
use crate::client::Connector;
use crate::leftovers::Notes;
use crate::stage::{Site, clean};
use crate::target::{Permission, Target};

/// Runs the command.
///
/// # Errors
/// When a host is not allowed, or something is still there.
pub async fn execute(args: &CleanArgs) -> Done {
    let notes = Notes::new(&args.report_dir.join("leftovers"));
    let mut left = notes.all().map_err(Refusal::Usage)?;
    if let Some(run) = &args.run {
        left.retain(|leftover| leftover.run == *run);
        if left.is_empty() {
            return Err(Refusal::Usage(format!("--run {run}: {} has no note of it", args.report_dir.display())));
        }
    }
    let permission =
        Permission { allowed: args.allow_host.clone(), production: args.production, confirmed: args.confirm.clone() };
    let mut failed = None;
    for leftover in &left {
        let target = Target::parse(&leftover.host).map_err(Refusal::Usage)?;
        permission.check(&target).map_err(Refusal::Usage)?;
        let connector = Connector::new(target).map_err(Refusal::Invalid)?;
        let site = Site { connector, metrics: None, synthetic_secret: None, notes: notes.clone() };
        match clean(&site, leftover).await {
            Ok(projects) => print(&format!("{}: {projects} projects deleted at {}\n", leftover.run, leftover.host)),
            Err(why) => {
                print(&format!("{}: {why}\n", leftover.run));
                failed = Some(leftover.run.clone());
            }
        }
    }
    match failed {
        Some(run) => Err(Refusal::Invalid(format!("{run} is not cleaned up; its note stays"))),
        None => {
            print(&format!("{} runs cleaned up\n", left.len()));
            Ok(0)
        }
    }
}
