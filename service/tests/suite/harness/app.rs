//! The real service, started in this process on ports of its own with a database of its own.

use std::sync::Arc;

use service::app::{App, AppState, Running};
use service::clock::Clock;
use service::config::Config;

use super::client::{Api, User};
use super::{postgres, sqlite};

/// Where the service keeps its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The embedded default.
    Sqlite,
    /// Production's.
    Postgres,
}

/// The database of one app; it goes when dropped.
pub enum Storage {
    /// A file in a temporary directory.
    Sqlite(sqlite::Fresh),
    /// A database in the shared cluster.
    Postgres(postgres::Database),
    /// One that the test looks after.
    Elsewhere(String),
}

impl Storage {
    /// A fresh one: an SQLite file that does not exist yet, or a migrated PostgreSQL database.
    pub async fn create(backend: Backend) -> Self {
        match backend {
            Backend::Sqlite => Self::Sqlite(sqlite::Fresh::new()),
            Backend::Postgres => {
                let cluster = postgres::Cluster::get().expect("tests ask Cluster::get() first and skip");
                Self::Postgres(postgres::migrated(cluster).await)
            }
        }
    }

    /// As `DATABASE_URL` takes it.
    pub fn url(&self) -> &str {
        match self {
            Self::Sqlite(file) => &file.url,
            Self::Postgres(database) => &database.url,
            Self::Elsewhere(url) => url,
        }
    }

    /// The database to look into with psql. Panics when it is not one of the shared cluster's.
    pub fn postgres(&self) -> &postgres::Database {
        match self {
            Self::Postgres(database) => database,
            Self::Sqlite(_) | Self::Elsewhere(_) => panic!("not a database of the shared cluster"),
        }
    }
}

/// A running service and a client to each of its listeners.
pub struct TestApp {
    /// Nobody's client of the API.
    pub api: Api,
    /// Client of the admin listener.
    pub admin: Api,
    /// The service itself: its state, its addresses.
    pub running: Running,
    /// What it runs on.
    pub storage: Storage,
}

impl TestApp {
    /// Starts with the settings that tests share, `Config::for_tests`.
    pub async fn spawn(backend: Backend) -> Self {
        Self::builder(backend).spawn().await
    }

    /// Starts with what the builder's methods change.
    pub fn builder(backend: Backend) -> Builder {
        Builder { backend, storage: None, clock: Clock::system(), configure: Vec::new(), routes: None }
    }

    /// Registers a user of this name under an address that no other has.
    pub async fn register(&self, name: &str) -> User {
        self.api.register(name).await
    }

    /// Stops gracefully and hands back the database, for a second service to start on.
    pub async fn stop(self) -> Storage {
        self.running.stop().await;
        self.storage
    }
}

type Configure = Box<dyn FnOnce(&mut Config) + Send>;

/// What differs from `Config::for_tests`.
pub struct Builder {
    backend: Backend,
    storage: Option<Storage>,
    clock: Clock,
    configure: Vec<Configure>,
    routes: Option<axum::Router<Arc<AppState>>>,
}

impl Builder {
    /// Changes settings; may be called more than once.
    pub fn config(mut self, configure: impl FnOnce(&mut Config) + Send + 'static) -> Self {
        self.configure.push(Box::new(configure));
        self
    }

    /// Gives the service this clock: keep a clone of a manual one and advance it.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Adds routes of the test's own, behind everything that the service's own are behind.
    pub fn routes(mut self, routes: axum::Router<Arc<AppState>>) -> Self {
        self.routes = Some(routes);
        self
    }

    /// Uses a database that exists: one that another app was stopped on.
    pub fn storage(mut self, storage: Storage) -> Self {
        self.storage = Some(storage);
        self
    }

    /// Uses the database at this address, which the test keeps alive: one behind a proxy, one in a private cluster.
    pub fn database_url(self, url: impl Into<String>) -> Self {
        self.storage(Storage::Elsewhere(url.into()))
    }

    /// Starts the service; both listeners answer when this returns. Panics when it does not start.
    pub async fn spawn(self) -> TestApp {
        self.try_spawn().await.expect("the service starts")
    }

    /// As [`Builder::spawn`], for tests of a start that fails.
    pub async fn try_spawn(self) -> anyhow::Result<TestApp> {
        let storage = match self.storage {
            Some(storage) => storage,
            None => Storage::create(self.backend).await,
        };
        let mut config = Config::for_tests(storage.url().to_owned());
        for configure in self.configure {
            configure(&mut config);
        }
        let app = App::build(config, self.clock).await?;
        let app = match self.routes {
            Some(routes) => app.with_routes(routes),
            None => app,
        };
        let running = app.start();
        let api = Api::new(format!("http://{}", running.api));
        let admin = Api::new(format!("http://{}", running.admin));
        Ok(TestApp { api, admin, running, storage })
    }
}

/// What a test of `on_both_backends!` may take as its argument.
pub trait Subject {
    /// Makes it for this backend.
    fn prepare(backend: Backend) -> impl Future<Output = Self> + Send;
}

impl Subject for TestApp {
    async fn prepare(backend: Backend) -> Self {
        Self::spawn(backend).await
    }
}

impl Subject for Backend {
    async fn prepare(backend: Backend) -> Self {
        backend
    }
}

/// Makes the argument of a test: its type says which.
pub async fn prepare<S: Subject>(backend: Backend) -> S {
    S::prepare(backend).await
}
