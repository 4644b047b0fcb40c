//! Bugsink: a server that speaks Sentry's protocol, and gives back what it was told.

use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::client::Api;

const START_TIMEOUT: Duration = Duration::from_secs(60);
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(20);

/// All that its settings need beyond the defaults. What is told is read at once, not by a worker of its own.
const SETTINGS: &str = r#"
from bugsink.settings.default import *
import os
data = os.environ["BUGSINK_DATA"]
SECRET_KEY = "of a server that lives for one test and listens to nobody else"
ALLOWED_HOSTS = ["*"]
DATABASES["default"]["NAME"] = data + "/db.sqlite3"
DATABASES["snappea"]["NAME"] = data + "/snappea.sqlite3"
SNAPPEA = {"TASK_ALWAYS_EAGER": True, "NUM_WORKERS": 1, "PID_FILE": None}
BUGSINK = {"BASE_URL": os.environ["BUGSINK_URL"], "PHONEHOME": False, "INGEST_STORE_BASE_DIR": data + "/ingestion"}
"#;

const DATABASES: [&str; 2] = ["db.sqlite3", "snappea.sqlite3"];

/// Makes a project, and a token that may read what it is told.
const PROJECT: &str = r#"
from projects.models import Project
from bsmain.models import AuthToken
token = AuthToken.objects.create(issues_read=True, events_read=True).token
print("made", Project.objects.create(name="tests").dsn, token)
"#;

/// A running server; it ends when dropped.
pub struct Bugsink {
    /// For `SENTRY_DSN`.
    pub dsn: String,
    api: Api,
    server: Child,
    _directory: TempDir,
}

impl Drop for Bugsink {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Bugsink {
    /// Starts one with an empty project, which takes some 5 s, and 15 the first time; `None` where it is not installed.
    pub async fn start() -> Option<Self> {
        let manage = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../.tools/python/bin/bugsink-manage");
        if !manage.is_file() {
            super::skip("Bugsink");
            return None;
        }
        let directory = TempDir::new().expect("a temporary directory");
        std::fs::write(directory.path().join("bugsink_conf.py"), SETTINGS).expect("a settings file");
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = port.expect("a free port").to_string();
        let url = format!("http://{address}");
        let command = |arguments: &[&str]| {
            let mut command = Command::new(&manage);
            let data: &Path = directory.path();
            command.args(arguments).env("BUGSINK_DATA", data).env("PYTHONPATH", data).env("BUGSINK_URL", &url);
            command.env("DJANGO_SETTINGS_MODULE", "bugsink_conf").current_dir(data).stdin(Stdio::null());
            command
        };
        // Migrating takes most of the time: the result is kept for the next run, by the pins that it was made with.
        let empty = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bugsink-{:x}", pins()));
        if DATABASES.iter().any(|name| std::fs::copy(empty.join(name), directory.path().join(name)).is_err()) {
            for name in DATABASES {
                let _ = std::fs::remove_file(directory.path().join(name));
            }
            run(command(&["migrate"])).await;
            run(command(&["migrate", "snappea", "--database=snappea"])).await;
            keep(directory.path(), &empty);
        }
        let made = run(command(&["shell", "-c", PROJECT])).await;
        let words: Vec<&str> =
            made.lines().find_map(|line| line.strip_prefix("made ")).expect("a project").split(' ').collect();
        let server =
            command(&["runserver", "--noreload", &address]).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let server = Self {
            dsn: words[0].to_owned(),
            api: Api::new(url).with_token(words[1]),
            server: server.expect("Bugsink starts"),
            _directory: directory,
        };
        let deadline = Instant::now() + START_TIMEOUT;
        while server.api.get("/health/ready").send().await.is_err() {
            assert!(Instant::now() < deadline, "Bugsink does not answer");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Some(server)
    }

    /// All events of the project, whole, once there are at least `count`.
    pub async fn events(&self, count: usize) -> Vec<Value> {
        let deadline = Instant::now() + ARRIVAL_TIMEOUT;
        loop {
            let mut events = Vec::new();
            for issue in self.list("issues/?project=1").await {
                for event in self.list(&format!("events/?issue={}", id(&issue))).await {
                    let path = format!("/api/canonical/0/events/{}/", id(&event));
                    events.push(self.api.get(&path).await.expect(200).body["data"].clone());
                }
            }
            if events.len() >= count {
                return events;
            }
            assert!(Instant::now() < deadline, "{} of {count} events arrived", events.len());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn list(&self, path: &str) -> Vec<Value> {
        let reply = self.api.get(&format!("/api/canonical/0/{path}")).await.expect(200);
        reply.body["results"].as_array().cloned().unwrap_or_default()
    }
}

/// Under another name first: a run that is cut short, or beside this one, leaves no half of it.
fn keep(from: &Path, to: &Path) {
    let draft = to.with_extension(std::process::id().to_string());
    let made = std::fs::create_dir_all(&draft).is_ok()
        && DATABASES.iter().all(|name| std::fs::copy(from.join(name), draft.join(name)).is_ok());
    if !made || std::fs::rename(&draft, to).is_err() {
        let _ = std::fs::remove_dir_all(&draft);
    }
}

fn pins() -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    include_str!("../../../../scripts/test-tools.txt").hash(&mut hasher);
    SETTINGS.hash(&mut hasher);
    hasher.finish()
}

fn id(of: &Value) -> &str {
    of["id"].as_str().expect("an id")
}

/// Runs to the end; its output.
async fn run(mut command: Command) -> String {
    let output =
        tokio::task::spawn_blocking(move || command.output()).await.expect("a thread").expect("Bugsink starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}
