//! `loadtest explore`: the same journeys with goose, as users of a closed loop. To look around; a verdict it does not give.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use goose::config::GooseConfiguration;
use goose::goose::{
    GooseMethod, GooseRequest, GooseUser, Scenario, Transaction, TransactionFunction, TransactionResult,
};
use goose::metrics::GooseMetrics;
use goose::{GooseAttack, GooseError, trigger_killswitch};
use hyper::body::Bytes;
use hyper::{Method, Response, header};
use tokio::sync::watch;

use super::run::leave;
use super::{Done, Refusal, print};
use crate::cli::{DURATION_MAX, ExploreArgs, at_most};
use crate::client::TIMEOUT;
use crate::journey::{Call, Judged, SYNTHETIC};
use crate::profile::{Journey, Operation, Profile, USERS_MAX};
use crate::random::Random;
use crate::stage::Stage;
use crate::terminal::Terminal;
use crate::world::World;

const NOTE: &str = "Closed loop: each user waits for an answer before the next request, so a target that stands still is asked \
                    less and looks faster than it is. These figures are for looking around; the verdict is that of loadtest run.";
/// goose's reports.
const FILES: [&str; 3] = ["explore.html", "explore.json", "explore.md"];
/// How long goose may take to end after Ctrl-C: longer than a request that hangs.
const END: Duration = Duration::from_secs(15);

/// Runs the command.
///
/// # Errors
/// When it was called wrongly, or nothing could be measured.
pub async fn execute(args: &ExploreArgs, mut stop: watch::Receiver<bool>) -> Done {
    if !(1..=USERS_MAX).contains(&args.users) {
        return Err(Refusal::Usage(format!("--users {}: it takes 1 to {USERS_MAX}", args.users)));
    }
    let duration = at_most("--duration", args.duration, DURATION_MAX).map_err(Refusal::Usage)?;
    let mut profile = Profile::read(args.profile.as_deref()).map_err(Refusal::Usage)?;
    profile.users = args.users;
    profile.tasks = profile.tasks.max(args.users);
    let site = args.target.site().map_err(Refusal::Usage)?;
    let mut terminal = Terminal::default();
    let stage = Stage::set_up(&site, profile, args.seed, &stop, &mut |text| terminal.status(text)).await?;
    terminal.say(&format!("run {}: {} users, closed loop", stage.run(), args.users));
    let folder = args.target.folder(stage.run());
    FILES.iter().for_each(|name| drop(std::fs::remove_file(folder.join(name)))); // a former run's, if there is one
    let attack = attack(&stage.ground.world, &site.connector.target().display(), args.users, duration, &folder);
    let done = match attack {
        Err(error) => Err(error),
        Ok(attack) => {
            let mut attack = Box::pin(attack.execute());
            tokio::select! {
                done = &mut attack => done.map(Some),
                _ = stop.wait_for(|stop| *stop) => {
                    tokio::time::timeout(END, end(attack)).await.map_or(Ok(None), |done| done.map(Some))
                }
            }
        }
    };
    if matches!(done, Ok(Some(_))) {
        print(&format!("\n{NOTE}\nreports are in {}\n", folder.display()));
    }
    leave(stage, &mut terminal, &stop).await;
    let metrics = done.map_err(|error| Refusal::Invalid(format!("goose: {error}")))?;
    let metrics = metrics.ok_or_else(|| Refusal::Invalid("stopped, and goose did not end in time".to_owned()))?;
    if *stop.borrow() {
        return Err(Refusal::Invalid("stopped before its end".to_owned()));
    }
    let answered = metrics.requests.values().any(|request| request.success_count > 0);
    if answered { Ok(0) } else { Err(Refusal::Invalid("no request was answered as it should be".to_owned())) }
}

/// Ends an attack: goose writes its reports of what there was. It forgets what it was told before it had begun, so it is told
/// until it hears.
async fn end(
    mut attack: Pin<Box<impl Future<Output = Result<GooseMetrics, GooseError>>>>,
) -> Result<GooseMetrics, GooseError> {
    loop {
        trigger_killswitch("stopped");
        tokio::select! {
            done = &mut attack => return done,
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
        }
    }
}

fn attack(
    world: &Arc<World>,
    host: &str,
    users: usize,
    duration: Duration,
    folder: &Path,
) -> Result<Box<GooseAttack>, GooseError> {
    std::fs::create_dir_all(folder)?;
    let file = |name: &str| folder.join(name).display().to_string();
    // Two of its fields are private: no struct update.
    let mut configuration = GooseConfiguration::default();
    configuration.host = Some(host.to_owned());
    configuration.users = Some(users);
    configuration.increase_rate = Some("50".to_owned());
    configuration.run_time = Some(duration.as_secs().max(1).to_string());
    configuration.report_file = FILES.map(file).to_vec();
    configuration.notes = Some(NOTE.to_owned());
    configuration.no_telnet = true; // no port that anybody could talk to
    configuration.no_websocket = true;
    configuration.quiet = 1;
    configuration.timeout = Some(TIMEOUT.as_secs().to_string());
    let mut attack = Box::new(GooseAttack::initialize_with_config(configuration)?);
    for journey in &world.profile.journeys {
        attack = Box::new(attack.register_scenario(scenario(world, journey)?));
    }
    Ok(attack)
}

/// A journey as a scenario, its steps as transactions in their order. goose shares out users by weight, and a user of a long
/// journey makes as many requests as one of a short one: so the weight counts for each step.
fn scenario(world: &Arc<World>, journey: &Journey) -> Result<Scenario, GooseError> {
    let weight = journey.weight as usize * journey.steps.len();
    let own: TransactionFunction = Arc::new(|user: &mut GooseUser| {
        Box::pin(async move {
            // Only the allowed host is put under load: a redirect would lead away from it.
            let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(TIMEOUT);
            user.set_client_builder(client).await.map_err(Box::new)
        })
    });
    let own = Transaction::new(own).set_name("client").set_on_start();
    let mut scenario = Scenario::new(&journey.name).set_weight(weight)?.register_transaction(own);
    for (index, step) in journey.steps.iter().enumerate() {
        let (world, step) = (Arc::clone(world), *step);
        let function: TransactionFunction = Arc::new(move |user: &mut GooseUser| {
            let world = Arc::clone(&world);
            Box::pin(async move { transaction(user, &world, step).await })
        });
        let name = format!("{} {}", journey.name, step.as_str());
        scenario = scenario.register_transaction(Transaction::new(function).set_name(&name).set_sequence(index + 1));
    }
    Ok(scenario)
}

/// One step of one user: the request and the checks of the verdict mode, sent and measured by goose.
async fn transaction(user: &mut GooseUser, world: &World, step: Operation) -> TransactionResult {
    let own = user.weighted_users_index % world.clients.len();
    let mut random = Random::new(uuid::Uuid::now_v7().as_u128() as u64);
    let call = world.call(own, step, &mut random);
    let request = user.get_request_builder(&method(&call), &call.path)?;
    let mut request = request.header(SYNTHETIC.0, SYNTHETIC.1);
    request = request.header(header::AUTHORIZATION, world.clients[own].session().bearer.clone());
    if !call.body.is_empty() {
        request = request.header(header::CONTENT_TYPE, "application/json").body(call.body.clone());
    }
    if let Some(version) = call.if_match {
        request = request.header(header::IF_MATCH, format!("\"{version}\""));
    }
    let request = GooseRequest::builder().name(call.operation.as_str()).set_request_builder(request).build();
    let mut answered = match user.request(request).await {
        Ok(answered) => answered,
        Err(error) => {
            world.settle(&call, None);
            return Err(error);
        }
    };
    let answer = match answered.response {
        Ok(response) => {
            let (status, headers) = (response.status(), response.headers().clone());
            response.bytes().await.ok().map(|body: Bytes| {
                let mut answer = Response::new(body);
                *answer.status_mut() = status;
                *answer.headers_mut() = headers;
                answer
            })
        }
        Err(_) => None,
    };
    match world.settle(&call, answer.as_ref()) {
        Judged::Violation(why) => user.set_failure(&why, &mut answered.request, None, None),
        Judged::Good | Judged::Failed(_) => Ok(()),
    }
}

fn method(call: &Call) -> GooseMethod {
    match call.method {
        Method::POST => GooseMethod::Post,
        Method::PATCH => GooseMethod::Patch,
        Method::DELETE => GooseMethod::Delete,
        _ => GooseMethod::Get,
    }
}
