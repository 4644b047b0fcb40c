//! A database that looks like one of production: tasks of some users in some projects, on either backend.

use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use serde_json::{Value, json};
use service::auth::tokens::Tokens;
use service::config::Secret;
use testkit::postgres::Database;
use uuid::Uuid;

use crate::exchange::expect;
use crate::ground::JWT_SECRET;
use crate::script::{FIRST, Ids, Kind};

const PASSWORD: &str = "correct horse battery";

/// How much there is. `users` divides `projects`, `projects` divides `tasks`.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Tasks, spread evenly over the projects.
    pub tasks: u64,
    /// Projects, spread evenly over the users.
    pub projects: u64,
    /// Users, each of whom sees nothing but his own projects.
    pub users: u64,
}

impl Size {
    /// The tasks that a user sees.
    pub fn tasks_of(self, user: u64) -> Ids {
        Ids { kind: Kind::Task, first: user, step: self.users, count: self.tasks / self.users }
    }

    /// The projects that a user sees.
    pub fn projects_of(self, user: u64) -> Ids {
        Ids { kind: Kind::Project, first: user, step: self.users, count: self.projects / self.users }
    }

    /// Fills a migrated database on PostgreSQL, and leaves it as autovacuum would after a while.
    pub fn fill(self, database: &Database) {
        let number = |expression: &str| format!("({FIRST} + {expression})::text");
        let project = format!("n % {}", self.projects);
        let user = format!("n % {}", self.users);
        let sql = include_str!("dataset.sql")
            .replace("{project_of_task}", &Kind::Project.sql(&number(&project)))
            .replace("{owner_of_task}", &Kind::User.sql(&number(&user)))
            .replace("{owner}", &Kind::User.sql(&number(&user)))
            .replace("{colleague}", &Kind::User.sql(&number("1000 + (n * 12 + m) % 1000")))
            .replace("{task}", &Kind::Task.sql(&number("n")))
            .replace("{project}", &Kind::Project.sql(&number("n")))
            .replace("{session}", &Kind::Session.sql(&number("n")))
            .replace("{user}", &Kind::User.sql(&number("n")))
            .replace("{tasks}", &self.tasks.to_string())
            .replace("{projects}", &self.projects.to_string())
            .replace("{users}", &self.users.to_string());
        database.psql(&sql);
        database.psql("VACUUM (ANALYZE)");
        database.psql("CHECKPOINT");
    }

    /// A fresh access token for each user of [`Size::fill`]. Good for 15 minutes.
    ///
    /// # Errors
    ///
    /// If one cannot be signed.
    pub fn tokens(self) -> anyhow::Result<Vec<String>> {
        let tokens = Tokens::new(&Secret::new(JWT_SECRET), None);
        #[expect(clippy::disallowed_methods, reason = "the service's own clock is the machine's, too")]
        let now = Timestamp::now();
        let id = |kind: Kind, user| Uuid::parse_str(&kind.id(user));
        let token = |user| Ok(tokens.access(id(Kind::User, user)?, id(Kind::Session, user)?, now, false)?);
        (0..self.users).map(token).collect()
    }

    /// Gives a service on SQLite the same tasks with the same ids, through its API; users and projects have other ids there.
    ///
    /// # Errors
    ///
    /// If the service refuses something.
    pub fn copy(self, database: &Database, service: SocketAddr) -> anyhow::Result<()> {
        for user in 0..self.users {
            let registered = expect(201, service, "POST", "/api/v1/auth/register", None, &credentials(user))?;
            let token = registered["access_token"].as_str().context("a token")?;
            for project in 0..self.projects / self.users {
                let name = json!({"name": format!("Project {project}")});
                let made = expect(201, service, "POST", "/api/v1/projects", Some(token), &name)?;
                let number = user + project * self.users;
                self.copy_project(database, service, token, number, &made["id"])?;
            }
        }
        Ok(())
    }

    fn copy_project(
        self,
        database: &Database,
        service: SocketAddr,
        token: &str,
        project: u64,
        id: &Value,
    ) -> anyhow::Result<()> {
        let priorities = "(ARRAY['low', 'medium', 'high', 'urgent'])[priority + 1]";
        let rows = database.psql(&format!(
            "SELECT json_build_object('id', id, 'title', title, 'description', description, 'status', status, 'priority', \
               {priorities}, 'labels', labels, 'due_at', to_char(due_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')) \
             FROM tasks WHERE project_id = '{}' ORDER BY id",
            Kind::Project.id(project)
        ));
        let tasks: Vec<Value> = rows.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        ensure!(tasks.len() as u64 == self.tasks / self.projects, "project {project} has {} tasks", tasks.len());
        for tasks in tasks.chunks(100) {
            let operation = |task: &Value| {
                let mut task = task.clone();
                task["project_id"] = id.clone();
                json!({"op": "create", "task": task})
            };
            let batch = json!({"atomic": true, "operations": tasks.iter().map(operation).collect::<Vec<_>>()});
            expect(200, service, "POST", "/api/v1/tasks/batch", Some(token), &batch)?;
        }
        Ok(())
    }

    /// Access tokens of the users of [`Size::copy`].
    ///
    /// # Errors
    ///
    /// If the service refuses.
    pub fn log_in(self, service: SocketAddr) -> anyhow::Result<Vec<String>> {
        let log_in = |user| {
            let login = json!({"email": email(user), "password": PASSWORD});
            let session = expect(200, service, "POST", "/api/v1/auth/login", None, &login)?;
            Ok(session["access_token"].as_str().context("a token")?.to_owned())
        };
        (0..self.users).map(log_in).collect()
    }
}

fn credentials(user: u64) -> Value {
    json!({"email": email(user), "password": PASSWORD, "name": format!("User {user}")})
}

fn email(user: u64) -> String {
    format!("user-{user}@example.com")
}
