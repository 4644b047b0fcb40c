//! What a user does, step by step. A step that fails for good ends the journey: the ones after it need it.

mod check;
mod cleanup;
mod health;
pub mod mark;
mod route;
mod task;
mod trial;

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::Method;
use serde_json::json;
use uuid::Uuid;

use self::route::Route;
use self::trial::Trial;
pub(crate) use self::trial::{Tools, pause};
use crate::credentials::{Credentials, Secret};
use crate::probe::{Ask, Reply};
use crate::report::{Address, Attempt, Cleanup, Evidence, Step, StepOutcome};

const TASKS: &str = "/api/v1/tasks";
const LOGOUT: &str = "/api/v1/auth/logout";

/// A journey on its way, and afterwards what it has found.
#[derive(Debug)]
pub(crate) struct Journey {
    tools: Tools,
    run: String,
    /// None where they cannot be read: whether the target is up is seen without them.
    credentials: Option<Credentials>,
    lookups: Vec<Attempt>,
    /// Over those that are up.
    route: Route,
    /// The address of which the login is to tell whether it is up.
    unprobed: Option<IpAddr>,
    token: Option<Secret>,
    /// The tokens of all sessions that the service gave, also of an attempt that failed: each is one to be ended. Behind a
    /// lock, since they must be known at once: a run may be cut off between two attempts.
    sessions: Mutex<Vec<Secret>>,
    /// The task, from the moment in which it may exist until it is gone for sure.
    made: Option<Made>,
    pub(crate) steps: Vec<Step>,
    pub(crate) addresses: Vec<Address>,
    pub(crate) evidence: Option<Evidence>,
    /// Our own fault, which ended it.
    pub(crate) ours: Option<String>,
    pub(crate) cleanup: Cleanup,
    /// What runs that died have left, as the list has shown it.
    leftovers: Vec<String>,
}

#[derive(Debug, Clone, Copy)]
struct Made {
    id: Uuid,
    /// Whether the service has said so.
    answered: bool,
}

impl Journey {
    /// At the gate.
    ///
    /// `lookups` are attempts at the name that failed before one succeeded: they belong to the first step.
    pub(crate) fn new(tools: Tools, run: String, credentials: Option<Credentials>, lookups: Vec<Attempt>) -> Self {
        Self {
            evidence: lookups.first().map(|attempt| Evidence::without_answer("health", attempt)),
            lookups,
            tools,
            run,
            credentials,
            route: Route::default(),
            unprobed: None,
            token: None,
            sessions: Mutex::default(),
            made: None,
            steps: Vec::new(),
            addresses: Vec::new(),
            ours: None,
            cleanup: Cleanup::default(),
            leftovers: Vec::new(),
        }
    }

    /// The addresses that are up.
    pub(crate) fn up(&self) -> Vec<IpAddr> {
        self.route.best()
    }

    /// A text without the secrets that this run knows.
    pub(crate) fn hidden(&self, text: &str) -> String {
        self.tools.hidden(text)
    }

    /// Goes all the way, or until a step fails for good.
    pub(crate) async fn travel(&mut self, addresses: &[IpAddr]) -> Option<()> {
        self.health(addresses).await?;
        let account = self.login().await?;
        let done = self.task(account).await;
        // What others have left waits until what users do has had its time, and is due also when that failed.
        self.sweep().await;
        done?;
        self.logout().await
    }

    async fn login(&mut self) -> Option<String> {
        let credentials = self.credentials.as_ref()?;
        let (email, password) = (credentials.email.expose(), credentials.password.expose());
        let mut ask = Ask::new(Method::POST, "/api/v1/auth/login");
        ask.body = Some(json!({ "email": email, "password": password }));
        ask.claims = true;
        let check = |reply: &Reply, _| {
            self.sessions().extend(check::token(reply));
            check::login(reply, email)
        };
        let plan: Vec<IpAddr> = self.unprobed.into_iter().chain(self.route.plan()).collect();
        let trial = self.tools.run("login", &plan, |_| ask.clone(), check).await;
        let tokens = self.sessions().clone();
        self.tools.secrets.extend(tokens);
        self.probed_by_login(trial.tried.first()).await;
        let (account, token) = self.keep("login", trial)?;
        self.token = Some(Secret::new(token));
        Some(account)
    }

    /// Ends the session: it would stay in the database for 30 days.
    async fn logout(&mut self) -> Option<()> {
        let ask = |_| self.ask(Method::POST, LOGOUT);
        // 401: the first attempt was done, and we did not learn of it.
        let check = |reply: &Reply, attempt| check::status(reply, if attempt == 0 { &[204] } else { &[204, 401] });
        let trial = self.tools.run("logout", &self.route.plan(), ask, check).await;
        self.keep("logout", trial)?;
        let token = self.token.take();
        self.sessions().retain(|session| Some(session) != token.as_ref());
        Some(())
    }

    fn sessions(&self) -> MutexGuard<'_, Vec<Secret>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, method: Method, path: &str) -> Ask {
        Ask { token: self.token.clone(), ..Ask::new(method, path) }
    }

    /// Writes a step down, and what it says of the addresses; its value when it succeeded.
    fn keep<T>(&mut self, name: &str, trial: Trial<T>) -> Option<T> {
        trial.tried.iter().for_each(|tried| self.route.learn(tried.address, tried.served));
        let outcome = match (&trial.value, trial.attempts.len()) {
            (None, _) => StepOutcome::Failed,
            (Some(_), 2..) => StepOutcome::Retried,
            (Some(_), _) if trial.attempts.iter().any(|attempt| attempt.slow.is_some()) => StepOutcome::Slow,
            (Some(_), _) => StepOutcome::Ok,
        };
        self.steps.push(Step { name: name.to_owned(), outcome, attempts: trial.attempts });
        if self.evidence.is_none() {
            self.evidence = trial.evidence;
        }
        self.ours = self.ours.take().or(trial.ours);
        trial.value
    }
}
