//! `loadtest self-test`: servers that are known to be good or bad, and the verdict that each has to get.

use std::fmt::Write as _;
use std::time::Duration;

use slo::Slo;
use tokio::sync::watch;

use super::run::{Checked, leave, measure};
use super::{ATTEMPTS_MAX, Done, Refusal, print};
use crate::cli::{SelfTestArgs, WINDOW_MAX};
use crate::client::Connector;
use crate::drive::Plan;
use crate::duration;
use crate::fixture::{Fault, Fixture, Lie};
use crate::leftovers::Notes;
use crate::outcome::RunResult;
use crate::profile::{Profile, SELF_TEST};
use crate::report;
use crate::stage::Site;
use crate::target::Target;
use crate::terminal::Terminal;
use crate::verdict::{Limits, Outcome, Verdict};

/// Requests per second that one core of a generator has to be good for, with starts in time. A debug build, as in CI, is good for
/// less.
const FAST: f64 = if cfg!(debug_assertions) { 1_000.0 } else { 5_000.0 };

/// One server and what has to be said of it.
struct Case {
    name: String,
    fault: Fault,
    /// CPU that each request costs the generator, beside its own.
    burn: Duration,
    /// Requests per second.
    rate: f64,
    verdict: Verdict,
    /// A rule that has to be broken.
    broken: Option<&'static str>,
}

/// The lengths of a case.
struct Lengths {
    warm_up: Duration,
    duration: Duration,
    window: Duration,
    freeze: (Duration, Duration),
}

impl Lengths {
    /// Long enough to show what each server is like, by the objectives: one that stands still for less than the latency allows
    /// would rightly pass.
    fn of(slo: &Slo, short: bool) -> Self {
        let latency = Duration::from_secs_f64(slo.requests.latency);
        let millis = Duration::from_millis;
        let (warm_up, freeze) = if short {
            (millis(500), (latency * 13 / 2, latency * 3 / 2))
        } else {
            (millis(2_000), (latency * 50, latency * 10))
        };
        let window = freeze.0.max(millis(1_300)).min(WINDOW_MAX);
        // Enough for two whole windows, and for a percentile of each of the profile's operations.
        let least = if short { millis(4_000) } else { millis(20_000) };
        Self { warm_up, duration: least.max(window * 2), window, freeze }
    }
}

/// The names of all cases, as the command prints them.
pub fn names(slo: &Slo) -> Vec<String> {
    cases(slo, &Lengths::of(slo, true)).into_iter().map(|case| case.name).collect()
}

fn cases(slo: &Slo, lengths: &Lengths) -> Vec<Case> {
    let (rate, latency) = (slo.load.rate, Duration::from_secs_f64(slo.requests.latency));
    let healthy = Fault { delay: latency / 40, ..Fault::default() };
    let case = |name: &str, fault, verdict, broken| {
        let name = name.to_owned();
        Case { name, fault, burn: Duration::ZERO, rate, verdict, broken }
    };
    let frozen = Fault { freeze: Some(lengths.freeze), ..healthy };
    let capacity = rate * 0.9;
    let slow = Fault { capacity: Some(capacity), delay: Duration::ZERO, ..healthy };
    let errors = slo.load.errors * 10.0;
    let every = ((1.0 / errors.max(1e-6)) as u64).max(1);
    let burn = Duration::from_secs_f64(1.1 / rate);
    vec![
        case(
            &format!("a healthy server that takes {}", duration::display(healthy.delay)),
            healthy,
            Verdict::Pass,
            None,
        ),
        case("a server that is frozen for a fifth of the time", frozen, Verdict::Fail, Some("latency p99")),
        case(&format!("a server that does {capacity:.0} requests/s"), slow, Verdict::Fail, Some("rate in each")),
        case(
            &format!("a server that answers {:.3} % with 503", 100.0 / every as f64),
            Fault { error_every: Some(every), ..healthy },
            Verdict::Fail,
            Some("errors"),
        ),
        case(
            "a server that answers 200 with another id",
            Fault { lie: Some(Lie::AnotherTask), ..healthy },
            Verdict::Fail,
            Some("contract"),
        ),
        Case {
            burn,
            ..case("a healthy server, a starved generator", healthy, Verdict::Invalid, Some("generator CPU"))
        },
        // What one core is good for, whatever the objective is.
        Case {
            rate: FAST.max(rate),
            ..case(&format!("a bare server at {:.0} requests/s", FAST.max(rate)), Fault::default(), Verdict::Pass, None)
        },
    ]
}

/// Runs the command.
///
/// # Errors
/// When the objectives cannot be read, or this machine has no ports.
pub async fn execute(args: &SelfTestArgs, stop: watch::Receiver<bool>) -> Done {
    let slo = Slo::read(&args.slo).map_err(|error| Refusal::Usage(error.to_string()))?;
    let lengths = Lengths::of(&slo, args.short);
    // A moment in which the machine is busy with something else is longer than a short case.
    let attempts = if args.short { 2 * ATTEMPTS_MAX } else { ATTEMPTS_MAX };
    let kept = args.report_dir.clone();
    let folder =
        kept.clone().unwrap_or_else(|| std::env::temp_dir().join(format!("loadtest-{}", uuid::Uuid::now_v7())));
    let mut terminal = Terminal::default();
    let mut wrong = 0;
    for case in cases(&slo, &lengths) {
        let mut said = String::new();
        let mut right = false;
        for attempt in 1..=attempts {
            if *stop.borrow() {
                return Err(Refusal::Invalid("stopped".to_owned()));
            }
            let result = one(&case, &lengths, &slo, &folder, &mut terminal, stop.clone()).await?;
            right = fits(&case, &result);
            let word = if right { "right" } else { "WRONG" };
            said = format!("{word}  {:<48} {}\n", case.name, result.summary);
            let file = folder.join(case.name.replace(|c: char| !c.is_ascii_alphanumeric(), "-"));
            if kept.is_some() {
                report::write(&file, &result, None).map_err(Refusal::Invalid)?;
            }
            if right || result.verdict != Verdict::Invalid || attempt == attempts {
                break;
            }
            let mut again = String::new();
            let _ = write!(again, "once more, for that says nothing: {}", result.summary); // into a string: cannot fail
            terminal.say(&again);
        }
        print(&said);
        wrong += u32::from(!right);
    }
    if kept.is_none() {
        let _ = std::fs::remove_dir_all(&folder); // the system's own folder for what nobody needs
    }
    print(if wrong == 0 { "every verdict is right\n" } else { "do not believe this tool on this machine\n" });
    Ok(u8::from(wrong > 0))
}

fn fits(case: &Case, result: &RunResult) -> bool {
    let broken = |name: &&str| {
        result
            .rules
            .iter()
            .any(|rule| rule.name.starts_with(name) && matches!(rule.outcome, Outcome::Fail | Outcome::Invalid))
    };
    result.verdict == case.verdict && case.broken.iter().all(broken)
}

async fn one(
    case: &Case,
    lengths: &Lengths,
    slo: &Slo,
    folder: &std::path::Path,
    terminal: &mut Terminal,
    stop: watch::Receiver<bool>,
) -> Result<RunResult, Refusal> {
    let fixture = Fixture::start(case.fault).map_err(|error| Refusal::Invalid(error.to_string()))?;
    let target = Target::parse(&fixture.url()).map_err(Refusal::Invalid)?;
    let rate = case.rate;
    let plan = Plan {
        rate,
        warm_up: lengths.warm_up,
        duration: lengths.duration,
        seed: 1,
        connections: 256,
        threads: 1,
        window: lengths.window,
        grace: Duration::from_secs_f64(slo.requests.latency),
        burn: case.burn,
    };
    let limits = Limits {
        rate,
        latency: slo.requests.latency,
        errors: slo.load.errors,
        database: slo.database.latency,
        database_fast: slo.database.fast,
        strict: false,
        operations: Vec::new(),
        metrics_wanted: false,
    };
    let connector = Connector::new(target).map_err(Refusal::Invalid)?;
    let site = Site { connector, metrics: None, synthetic_secret: None, notes: Notes::new(&folder.join("leftovers")) };
    let profile = Profile::parse(SELF_TEST, "the self-test's profile").map_err(Refusal::Usage)?;
    let limits = Limits { operations: profile.operations(), ..limits };
    let checked =
        Checked { site, profile, profile_name: "self-test".to_owned(), plan, limits, rate_objective: slo.load.rate };
    let (result, stage) = measure(checked, terminal, stop.clone()).await?;
    leave(stage, terminal, &stop).await;
    if fixture.projects() > 0 {
        return Err(Refusal::Invalid(format!("{} projects were left behind", fixture.projects())));
    }
    Ok(result)
}
