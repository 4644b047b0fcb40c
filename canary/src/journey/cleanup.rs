//! What a run leaves behind: nothing of its own, and less of what earlier runs that died have left.

use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;

use super::{Journey, LOGOUT, Made, TASKS, check, mark};
use crate::config::Target;
use crate::probe::{Ask, Prober, Reply};

/// Leftovers that one run looks at, at most: they cost the service two requests each.
const SWEPT_MAX: usize = 20;
/// A create whose answer was lost may still be on its way when the clean-up asks the first time.
const LATE_CREATE: Duration = Duration::from_millis(500);

impl Journey {
    /// Removes what runs that died have left behind.
    pub(super) async fn sweep(&mut self) {
        for id in std::mem::take(&mut self.leftovers).into_iter().take(SWEPT_MAX) {
            // Those that are not removed by then wait for the next run: this one has a task of its own to remove.
            let swept = tokio::time::timeout_at(self.tools.sweep_deadline, self.sweep_one(&id)).await;
            match swept.ok().flatten() {
                Some(Swept::Removed) => self.cleanup.swept += 1,
                Some(Swept::Kept) => self.cleanup.kept += 1,
                None => self.cleanup.sweep_failed += 1,
            }
        }
    }

    /// Removing a task for good removes all that is under it, whoever made that: then it stays. `None` when nobody can tell.
    async fn sweep_one(&self, id: &str) -> Option<Swept> {
        let end = self.tools.sweep_deadline;
        let under = self.reply(&self.ask(Method::GET, &format!("{TASKS}?parent_id={id}&limit=1")), end).await?;
        if !check::page(&under).ok()?.is_empty() {
            return Some(Swept::Kept);
        }
        let removed = matches!(self.delete(&for_good(id), end).await, Some(204 | 404));
        removed.then_some(Swept::Removed)
    }

    /// Removes the run's task, if it may still be there, and ends its sessions, until `end` at most. After every end: success,
    /// failure, deadline, signal.
    pub(crate) async fn clean_up(&mut self, end: Instant) {
        let sessions = std::mem::take(&mut *self.sessions());
        // Until it is known that they have ended, also when the time ends meanwhile.
        self.cleanup.sessions_left = u32::try_from(sessions.len()).unwrap_or(u32::MAX);
        self.clean_up_task(end).await;
        for token in sessions {
            let ask = Ask { token: Some(token), ..Ask::new(Method::POST, LOGOUT) };
            // 401: it had ended before, and we did not learn of it.
            if matches!(self.answered(&ask, end).await, Some(204 | 401)) {
                self.cleanup.sessions_left -= 1;
            }
        }
    }

    async fn clean_up_task(&mut self, end: Instant) {
        let Some(Made { id, answered }) = self.made.take() else { return };
        let path = for_good(&id.to_string());
        self.cleanup.left_behind = Some(id.to_string()); // until it is known to be gone, also when the time ends meanwhile
        for attempt in 0..3 {
            if attempt > 0 {
                tokio::time::sleep(LATE_CREATE).await;
            }
            let gone = match self.delete(&path, end).await {
                Some(204) => true,
                Some(404) => answered || attempt > 0,
                _ => false,
            };
            if gone {
                self.cleanup.left_behind = None;
                return;
            }
        }
    }

    async fn delete(&self, path: &str, end: Instant) -> Option<u16> {
        self.answered(&self.ask(Method::DELETE, path), end).await
    }

    async fn answered(&self, ask: &Ask, end: Instant) -> Option<u16> {
        self.reply(ask, end).await.map(|reply| reply.status.as_u16())
    }

    /// The first answer from any address that is no failure of the server; else the last one. All of them together take half of
    /// what is left until `end`, so that one that hangs leaves time for the others and for what comes after.
    ///
    /// No name server is asked any more: where the run has been is known, and what it has made is there.
    async fn reply(&self, ask: &Ask, end: Instant) -> Option<Reply> {
        let addresses = self.route.best();
        let share = end.saturating_duration_since(Instant::now()).div_f64(2.0 * addresses.len().max(1) as f64);
        let target = Target { addresses: Some(addresses.clone()), ..self.tools.prober.target.clone() };
        let prober = Prober { target, timeout: share.min(self.tools.prober.timeout), ..self.tools.prober.clone() };
        let mut answer = None;
        for address in &addresses {
            if let Ok(reply) = prober.ask(*address, ask).await.result {
                let failed = reply.status.is_server_error();
                answer = Some(reply);
                if !failed {
                    break;
                }
            }
        }
        answer
    }
}

/// What became of a leftover.
enum Swept {
    Removed,
    Kept,
}

/// The request that removes a task for good: the trash would keep it for 30 days.
pub(super) fn for_good(id: &str) -> String {
    format!("{TASKS}/{id}?permanent=true")
}

/// The ids of what runs that died have left, among the tasks of an answer. None where it does not tell its time.
pub(super) fn leftovers(reply: &Reply, tasks: &[Value], account: &str) -> Vec<String> {
    let Some(now) = service_time(reply) else { return Vec::new() };
    let leftovers = tasks.iter().filter(|task| mark::is_leftover(task, account, now));
    leftovers.filter_map(|task| task["id"].as_str().map(str::to_owned)).collect()
}

/// When the service answered, by a clock on its side; `None` when it does not tell. Ours would not do: if it is ahead, the
/// task of another canary that runs at this moment looks old.
fn service_time(reply: &Reply) -> Option<Timestamp> {
    let date = check::text(&reply.headers, "date")?;
    jiff::fmt::rfc2822::parse(date).ok().map(|date| date.timestamp())
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use testkit::process::Builder;

    use super::super::Tools;
    use super::*;
    use crate::args::Family;
    use crate::config::Limits;
    use crate::credentials::{Credentials, Secret};

    /// A journey whose name has no address any more; it has been at these.
    fn journey(port: u16, addresses: &[[u8; 4]]) -> Journey {
        let second = Duration::from_secs(1);
        let host = "no-such-name.invalid".to_owned();
        let target = Target { tls: false, host, port, addresses: None, family: Family::Any };
        let prober = Prober { target, trust: None, timeout: 5 * second, synthetic_secret: None };
        let limits = Limits { answer: second, step: second, attempt: 5 * second, run: 30 * second };
        let deadline = Instant::now() + 30 * second;
        let tools = Tools {
            prober,
            limits,
            retries: 0,
            deadline,
            health_deadline: deadline,
            sweep_deadline: deadline,
            secrets: Vec::new(),
        };
        let credentials = Credentials { email: Secret::new("a@b"), password: Secret::new("x") };
        let mut journey = Journey::new(tools, "1".to_owned(), Some(credentials), Vec::new());
        addresses.iter().for_each(|address| journey.route.add((*address).into()));
        journey
    }

    #[test]
    fn only_a_clock_on_the_other_side_tells_the_age_of_a_task() {
        let with = |date: Option<&'static str>| Reply {
            status: http::StatusCode::OK,
            headers: date.map(|date| (http::header::DATE, http::HeaderValue::from_static(date))).into_iter().collect(),
            body: hyper::body::Bytes::new(),
        };
        assert_eq!(service_time(&with(Some("Fri, 20 Nov 2026 12:00:00 GMT"))), "2026-11-20T12:00:00Z".parse().ok());
        assert_eq!((service_time(&with(None)), service_time(&with(Some("today")))), (None, None));

        let task = json!({
            "id": mark::new_id().to_string(), "created_by": "me", "labels": [mark::LABEL], "title": "canary probe 1",
            "created_at": "2026-01-01T00:00:00Z",
        });
        for (date, expected) in [(Some("Fri, 20 Nov 2026 12:00:00 GMT"), 1), (None, 0)] {
            assert_eq!(leftovers(&with(date), std::slice::from_ref(&task), "me").len(), expected, "{date:?}");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn neither_a_dead_name_server_nor_an_address_that_hangs_keeps_anything_from_being_removed() {
        let service = Builder::task_api().serve().await;
        let api = service.address("api").await;
        let client = reqwest::Client::new();
        let post = |path: &str, body: Value| client.post(format!("{api}/api/v1/{path}")).json(&body);
        let user = json!({ "email": "canary@example.com", "password": "seven wet canaries", "name": "Canary" });
        let session: Value = post("auth/register", user).send().await.unwrap().json().await.unwrap();
        let token = session["access_token"].as_str().unwrap();
        let id = mark::new_id();
        let task = json!({ "id": id, "title": "canary probe 1", "labels": [mark::LABEL] });
        assert_eq!(post("tasks", task).bearer_auth(token).send().await.unwrap().status(), 201);

        // The address that comes first takes connections and says nothing.
        let port = api.rsplit(':').next().unwrap().parse().unwrap();
        let _silent = std::net::TcpListener::bind(("127.0.0.69", port)).unwrap();
        let mut journey = journey(port, &[[127, 0, 0, 69], [127, 0, 0, 1]]);
        journey.token = Some(Secret::new(token));
        journey.sessions().push(Secret::new(token));
        journey.made = Some(Made { id, answered: true });
        let started = Instant::now();
        journey.clean_up(started + Duration::from_secs(4)).await;
        assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
        assert_eq!((journey.cleanup.left_behind.clone(), journey.cleanup.sessions_left), (None, 0));
        // The session has ended as well.
        let url = format!("{api}/api/v1/tasks/{id}");
        assert_eq!(client.get(url).bearer_auth(token).send().await.unwrap().status(), 401);
    }
    #[tokio::test]
    async fn a_session_that_cannot_be_ended_is_counted() {
        let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let mut journey = journey(silent.local_addr().unwrap().port(), &[[127, 0, 0, 1]]);
        journey.sessions().push(Secret::new("1"));
        journey.clean_up(Instant::now() + Duration::from_millis(400)).await;
        assert_eq!(journey.cleanup.sessions_left, 1);
    }
}
