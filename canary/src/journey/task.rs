//! The life of the run's task: made, read, found, changed, kept from a stale change and from strangers, deleted for good, gone.
//!
//! A second attempt allows for the first having been done without our learning of it: that is no fault of the service.

use http::Method;
use serde_json::json;

use super::check::{self, Checked, Expected, Wrong};
use super::cleanup::{for_good, leftovers};
use super::{Journey, Made, TASKS, mark};
use crate::probe::{Ask, Reply};

/// The task of a run.
struct Subject {
    path: String,
    expected: Expected,
}

impl Subject {
    /// The whole task, as it should be, in one of these versions; any when none is given.
    fn check(&self, reply: &Reply, status: &[u16], versions: &[i64]) -> Checked<i64> {
        check::status(reply, status)?;
        check::task(reply, &self.expected, versions)
    }
}

impl Journey {
    /// From its first step to its last.
    pub(super) async fn task(&mut self, account: String) -> Option<()> {
        let id = mark::new_id();
        let title = check::title(&self.run);
        let expected = Expected { id: id.to_string(), title, status: "todo", account };
        let mut subject = Subject { path: format!("{TASKS}/{id}"), expected };
        self.made = Some(Made { id, answered: false });
        let version = self.create(&subject).await?;
        self.made = Some(Made { id, answered: true });
        self.read(&subject, version).await?;
        self.list(&subject, version).await?;
        subject.expected.status = "in_progress";
        self.update(&subject, version).await?;
        self.stale(&subject, version).await?;
        self.anonymous(&subject).await?;
        self.remove(&subject).await?;
        self.gone(&subject).await?;
        self.made = None;
        Some(())
    }

    async fn create(&mut self, subject: &Subject) -> Option<i64> {
        let Expected { id, title, .. } = &subject.expected;
        let mut ask = self.ask(Method::POST, TASKS);
        ask.body = Some(json!({ "id": id, "title": title, "labels": [mark::LABEL] }));
        let check = |reply: &Reply, attempt: u32| {
            let version = subject.check(reply, if attempt == 0 { &[201] } else { &[201, 200] }, &[])?;
            let location = check::text(&reply.headers, "location").unwrap_or_default();
            if location.ends_with(&subject.path) {
                return Ok(version);
            }
            Err(Wrong::Theirs("location does not lead to the task".to_owned()))
        };
        let trial = self.tools.run("create", &self.route.plan(), |_| ask.clone(), check).await;
        self.keep("create", trial)
    }

    async fn read(&mut self, subject: &Subject, version: i64) -> Option<i64> {
        let ask = |_| self.ask(Method::GET, &subject.path);
        let check = |reply: &Reply, _| subject.check(reply, &[200], &[version]);
        let trial = self.tools.run("read", &self.route.plan(), ask, check).await;
        self.keep("read", trial)
    }

    /// The same page shows what earlier runs have left: one request less.
    async fn list(&mut self, subject: &Subject, version: i64) -> Option<()> {
        let ask = |_| self.ask(Method::GET, &format!("{TASKS}?label={}&limit=200", mark::LABEL));
        let check = |reply: &Reply, _| {
            let tasks = check::page(reply)?;
            check::listed(&tasks, &subject.expected, version)?;
            Ok(leftovers(reply, &tasks, &subject.expected.account))
        };
        let trial = self.tools.run("list", &self.route.plan(), ask, check).await;
        self.leftovers = self.keep("list", trial)?;
        Some(())
    }

    async fn update(&mut self, subject: &Subject, version: i64) -> Option<i64> {
        let after = |attempt: u32| version..=version + i64::from(attempt);
        let ask = |attempt| {
            let tags: Vec<String> = after(attempt).map(|version| format!("\"{version}\"")).collect();
            self.change(subject, tags.join(", "), "in_progress")
        };
        let check = |reply: &Reply, attempt| {
            let versions: Vec<i64> = after(attempt).map(|version| version + 1).collect();
            subject.check(reply, &[200], &versions)
        };
        let trial = self.tools.run("update", &self.route.plan(), ask, check).await;
        self.keep("update", trial)
    }

    /// `version` is the one before the update.
    async fn stale(&mut self, subject: &Subject, version: i64) -> Option<()> {
        let ask = |_| self.change(subject, format!("\"{version}\""), "done");
        let check = |reply: &Reply, _| check::problem(reply, 412, "precondition-failed");
        let trial = self.tools.run("stale", &self.route.plan(), ask, check).await;
        self.keep("stale", trial)
    }

    async fn anonymous(&mut self, subject: &Subject) -> Option<()> {
        let ask = |_| Ask::new(Method::GET, &subject.path);
        let check = |reply: &Reply, _| check::problem(reply, 401, "unauthenticated");
        let trial = self.tools.run("anonymous", &self.route.plan(), ask, check).await;
        self.keep("anonymous", trial)
    }

    async fn remove(&mut self, subject: &Subject) -> Option<()> {
        let ask = |_| self.ask(Method::DELETE, &for_good(&subject.expected.id));
        let check = |reply: &Reply, attempt| check::status(reply, if attempt == 0 { &[204] } else { &[204, 404] });
        let trial = self.tools.run("delete", &self.route.plan(), ask, check).await;
        self.keep("delete", trial)
    }

    async fn gone(&mut self, subject: &Subject) -> Option<()> {
        let ask = |_| self.ask(Method::GET, &subject.path);
        let check = |reply: &Reply, _| check::problem(reply, 404, "not-found");
        let trial = self.tools.run("gone", &self.route.plan(), ask, check).await;
        self.keep("gone", trial)
    }

    fn change(&self, subject: &Subject, if_match: String, status: &str) -> Ask {
        let mut ask = self.ask(Method::PATCH, &subject.path);
        ask.if_match = Some(if_match);
        ask.body = Some(json!({ "status": status }));
        ask
    }
}
