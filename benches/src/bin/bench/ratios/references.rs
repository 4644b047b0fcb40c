//! The scripts of pgbench: the statements that the service was seen to run, with ids that pgbench draws.

use benches::dataset::Size;
use benches::exchange::expect;
use benches::script::{FIRST, Kind, numbered};
use benches::statements;
use serde_json::Value;
use uuid::Uuid;

use super::new_task;
use crate::stage::Stage;

/// Title of a created task.
pub(super) const TITLE: &str = "Renew the certificate of staging";
/// Description of a created task.
pub(super) const DESCRIPTION: &str =
    "It ends in two weeks. Ask the operators who has the key, and put the date into the calendar.";
/// What pgbench knows of a created task. A variable cannot be null: `-` stands for it.
pub(super) const CREATE_VARIABLES: &[(&str, &str)] = &[
    ("title", TITLE),
    ("description", DESCRIPTION),
    ("status", "todo"),
    ("priority", "1"),
    ("labels", "{bug,team-1}"),
    ("none", "-"),
    ("n", "0"),
];

/// The scripts.
pub(super) struct References {
    /// One task of the user whose number the connection has.
    pub(super) get: String,
    /// 50 tasks, and one more, of one of his projects.
    pub(super) list: String,
    create: String,
    projects: String,
}

impl References {
    /// Lets the service answer one request of each kind and takes its SQL from the log of PostgreSQL.
    pub(super) async fn find(stage: &Stage, size: Size) -> anyhow::Result<Self> {
        let tokens = size.tokens()?;
        let (api, token) = (stage.service.api, tokens.first().map(String::as_str));
        let task = format!("/api/v1/tasks/{}", Kind::Task.id(0));
        let get = || expect(200, api, "GET", &task, token, &Value::Null).map(drop);
        let list = format!("/api/v1/tasks?project_id={}&limit=50", Kind::Project.id(0));
        let list = || expect(200, api, "GET", &list, token, &Value::Null).map(drop);
        let mut new = new_task();
        new["project_id"] = Kind::Project.id(0).into();
        let create = || expect(201, api, "POST", "/api/v1/tasks", token, &new).map(drop);
        get()?; // the token is known from here on

        let (tasks, projects) = (size.tasks_of(0), size.projects_of(0));
        let user = Kind::User.sql(":u");
        let draw = |name: &str, count: u64, step: u64| {
            format!(
                "\\set u {FIRST} + :client_id\n\\set {name} {FIRST} + random(0, {}) * {step} + :client_id\n",
                count - 1
            )
        };
        let project = Kind::Project.sql(":p");
        let get = statements::bind(&statements::of(&stage.cluster, get).await?, &[&user, &Kind::Task.sql(":t")])?;
        let list = statements::bind(&statements::of(&stage.cluster, list).await?, &[&project, &user, &project])?;
        Ok(Self {
            get: format!("{}{get};\n", draw("t", tasks.count, tasks.step)),
            list: format!("{}{list};\n", draw("p", projects.count, projects.step)),
            create: statements::of(&stage.cluster, create).await?,
            projects: draw("p", projects.count, projects.step),
        })
    }

    /// The script of a create. Its ids begin with this moment, as those of the service do: both append to the indexes.
    pub(super) fn create(&self) -> anyhow::Result<String> {
        let now = Uuid::now_v7().to_string();
        let id = numbered(":id", &format!("{}-7000-8000", &now[..13]));
        let none = |kind: &str| format!("NULLIF(:none, '-')::{kind}");
        let values = [
            &Kind::User.sql(":u"),
            &Kind::Project.sql(":p"),
            &id,
            &none("uuid"), // parent
            ":title::text",
            ":description::text",
            ":status::text",
            ":priority::smallint",
            ":labels::text[]",
            &none("uuid"),        // assignee
            &none("timestamptz"), // due
            &none("timestamptz"), // completed
            "now()",
            &id, // of the activity
        ];
        let sql = statements::bind(&self.create, &values)?;
        Ok(format!("{}\\set n :n + 8\n\\set id {FIRST} + :n + :client_id\n{sql};\n", self.projects))
    }

    /// How the reference is run.
    pub(super) fn described(&self, stage: &Stage) -> String {
        format!("pgbench -M prepared -c {} -j {}, over TCP", stage.pgbench.clients, stage.pgbench.threads)
    }
}
