//! The ground of a run: its people, projects and tasks, made before the load and taken away after it, whatever happens.

use std::sync::Arc;
use std::time::Duration;

use hyper::header::HeaderValue;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::api::Api;
use crate::client::Connector;
use crate::drive::Ground;
use crate::leftovers::{Leftover, Notes};
use crate::profile::Profile;
use crate::random::Random;
use crate::world::World;

/// Access tokens live for 15 minutes; new ones are fetched well before.
const REFRESH_INTERVAL: Duration = Duration::from_secs(8 * 60);

/// Longest that taking everything away may take.
const LEAVE_MAX: Duration = Duration::from_secs(120);
/// Longest that it may still take once somebody has stopped the run: they are waiting.
const LEAVE_STOPPED_MAX: Duration = Duration::from_secs(15);
/// How long what is under way in setting up may take after that.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// Where a run takes place.
#[derive(Clone)]
pub struct Site {
    /// To the target.
    pub connector: Connector,
    /// To its metrics, when they are wanted.
    pub metrics: Option<Connector>,
    /// The secret by which the target believes that this is load.
    pub synthetic_secret: Option<HeaderValue>,
    /// Where a run notes what it makes.
    pub notes: Notes,
}

/// A ground that is set up.
pub struct Stage {
    site: Site,
    leftover: Leftover,
    /// What the load is driven over.
    pub ground: Ground,
    keeper: JoinHandle<()>,
}

/// Why there is no ground. One line.
#[derive(Debug)]
pub enum NoStage {
    /// The target is not there, or refuses.
    Refused(String),
    /// Somebody stopped it; and what could then not be taken away.
    Stopped(Option<String>),
}

impl Stage {
    /// Sets up: registers people, makes projects and tasks. `say` is told how far it is. What was made is taken away again
    /// when something fails or somebody stops it.
    ///
    /// # Errors
    /// When the target refuses, or `stop` says so.
    pub async fn set_up(
        site: &Site,
        profile: Profile,
        seed: u64,
        stop: &watch::Receiver<bool>,
        say: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Self, NoStage> {
        let mut api = Api::new(site.connector.clone(), site.synthetic_secret.clone());
        let alive = unless_stopped(stop, api.health()).await.ok_or(NoStage::Stopped(None))?;
        alive.map_err(NoStage::Refused)?;
        let leftover = Leftover::new(site.connector.target().display(), profile.users);
        site.notes.write(&leftover).map_err(NoStage::Refused)?;
        let mut world = World { profile, run: leftover.run.clone(), clients: Vec::new() };
        let mut unsure = None;
        let made = make(&mut api, &mut world, &mut unsure, &leftover, seed, stop, say).await;
        let stage = Self::of(site, leftover, world);
        let Err(why) = made else { return Ok(stage) };
        let left = match unsure {
            None => stage.leave(stop).await,
            Some(number) => stage.leave_with(number, stop).await,
        };
        Err(match (why, left) {
            (NoStage::Refused(why), Err(left)) => NoStage::Refused(format!("{why}; {left}")),
            (NoStage::Stopped(_), Err(left)) => NoStage::Stopped(Some(left)),
            (why, Ok(())) => why,
        })
    }

    fn of(site: &Site, leftover: Leftover, world: World) -> Self {
        let world = Arc::new(world);
        let synthetic = if site.synthetic_secret.is_some() { "load" } else { "none" };
        let (connector, metrics) = (site.connector.clone(), site.metrics.clone());
        let keeper =
            tokio::spawn(keep_in(Api::new(connector.clone(), site.synthetic_secret.clone()), Arc::clone(&world)));
        Self { site: site.clone(), leftover, ground: Ground { connector, metrics, synthetic, world }, keeper }
    }

    /// The run's name.
    pub fn run(&self) -> &str {
        &self.leftover.run
    }

    /// Takes everything away that can be: projects with their tasks, and sessions. People cannot be deleted; theirs are
    /// addresses of example.com with the run's name. It ends in bounded time, and soon after `stop`: a target that does not
    /// answer is not asked again.
    ///
    /// # Errors
    /// When something is still there: the run's note stays, and `loadtest clean` tries again.
    pub async fn leave(self, stop: &watch::Receiver<bool>) -> Result<(), String> {
        self.take_away(None, stop).await
    }

    /// The same, where nobody knows whether the project of this one of its people came to be.
    async fn leave_with(self, unsure: usize, stop: &watch::Receiver<bool>) -> Result<(), String> {
        self.take_away(Some(unsure), stop).await
    }

    async fn take_away(self, unsure: Option<usize>, stop: &watch::Receiver<bool>) -> Result<(), String> {
        self.keeper.abort();
        let mut api = Api::new(self.site.connector.clone(), self.site.synthetic_secret.clone());
        if *stop.borrow() {
            api.hurry();
        }
        let mut waiting = stop.clone();
        let patience = async {
            tokio::select! {
                () = tokio::time::sleep(LEAVE_MAX) => {}
                () = async {
                    let _ = waiting.wait_for(|stop| *stop).await;
                    tokio::time::sleep(LEAVE_STOPPED_MAX).await;
                } => {}
            }
        };
        let left = tokio::select! {
            left = everything(&mut api, &self.ground.world, &self.leftover, unsure) => left,
            () = patience => Err("it takes too long".to_owned()),
        };
        match left {
            Ok(()) => {
                self.site.notes.remove(self.run());
                Ok(())
            }
            Err(why) => Err(format!("not all could be taken away ({why}); loadtest clean tries again")),
        }
    }
}

/// Takes away what each of a run's people has. What one of them cannot give back does not keep the others from it, unless the
/// target does not answer at all.
async fn everything(api: &mut Api, world: &World, leftover: &Leftover, unsure: Option<usize>) -> Result<(), String> {
    let mut failed = None;
    for client in &world.clients {
        if let Err(refused) = api.leave(client).await {
            let unreachable = refused.status.is_none();
            failed.get_or_insert(refused.text);
            if unreachable {
                break;
            }
        }
    }
    if let (Some(number), None) = (unsure, &failed) {
        match api.sweep(leftover, number).await {
            Ok(0) => failed = Some("a project that was asked for may still come to be".to_owned()),
            Ok(_) => {}
            Err(why) => failed = Some(why),
        }
    }
    failed.map_or(Ok(()), Err)
}

/// What comes of `work`; nothing once somebody has stopped the run and it does not end soon after. A moment it has: what is
/// just being made is then known, and can be taken away.
async fn unless_stopped<T>(stop: &watch::Receiver<bool>, work: impl Future<Output = T>) -> Option<T> {
    let mut stop = stop.clone();
    tokio::select! {
        biased;
        done = work => Some(done),
        () = async {
            let _ = stop.wait_for(|stop| *stop).await;
            tokio::time::sleep(STOP_GRACE).await;
        } => None,
    }
}

async fn make(
    api: &mut Api,
    world: &mut World,
    unsure: &mut Option<usize>,
    leftover: &Leftover,
    seed: u64,
    stop: &watch::Receiver<bool>,
    say: &mut (dyn FnMut(&str) + Send),
) -> Result<(), NoStage> {
    let (users, tasks) = (world.profile.users, world.profile.tasks);
    for number in 0..users {
        if *stop.borrow() {
            return Err(NoStage::Stopped(None));
        }
        say(&format!("registering {} of {users} people", number + 1));
        match unless_stopped(stop, api.register(leftover, number)).await {
            Some(Ok(client)) => world.clients.push(client),
            Some(Err(why)) => {
                *unsure = why.project.then_some(number);
                return Err(NoStage::Refused(why.why));
            }
            None => {
                *unsure = Some(number);
                return Err(NoStage::Stopped(None));
            }
        }
    }
    for number in 0..users {
        if *stop.borrow() {
            return Err(NoStage::Stopped(None));
        }
        say(&format!("making {tasks} tasks: {} of {users} projects", number + 1));
        let count = tasks / users + usize::from(number < tasks % users);
        let mut random = Random::part(seed, u64::MAX - 1 - number as u64);
        let seeded = unless_stopped(stop, api.seed(world, number, count, &mut random)).await;
        seeded.ok_or(NoStage::Stopped(None))?.map_err(NoStage::Refused)?;
    }
    Ok(())
}

/// Keeps everybody logged in, for as long as a run takes.
async fn keep_in(mut api: Api, world: Arc<World>) {
    loop {
        tokio::time::sleep(REFRESH_INTERVAL).await;
        for client in &world.clients {
            let _: Result<(), String> = api.refresh(client).await; // if it fails, requests will, and are judged
        }
    }
}

/// Takes away what former runs have left at `site`; how many projects that were, by run.
///
/// # Errors
/// When a note cannot be read, or the target refuses.
pub async fn clean(site: &Site, leftover: &Leftover) -> Result<usize, String> {
    let mut api = Api::new(site.connector.clone(), site.synthetic_secret.clone());
    let mut deleted = 0;
    for number in 0..leftover.users {
        deleted += api.sweep(leftover, number).await?;
    }
    site.notes.remove(&leftover.run);
    Ok(deleted)
}
