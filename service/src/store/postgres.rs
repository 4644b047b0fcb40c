//! PostgreSQL: the pool, the limits that each connection carries, and TLS.

use std::ops::{Deref, DerefMut};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use diesel::result::DatabaseErrorKind;
use diesel::{ConnectionError, ConnectionResult};
use diesel_async::pooled_connection::bb8::{Pool, PooledConnection};
use diesel_async::pooled_connection::{
    AsyncDieselConnectionManager, ManagerConfig, PoolError, PoolableConnection as _, RecyclingMethod,
};
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection as _};
use futures_util::FutureExt;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use telemetry::metrics::PoolState;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{POSTGRES_WAIT_MAX, StoreError, Waiting};
use crate::gate::Gate;
use crate::turns::{Turn, Turns};

/// No statement of ours takes long; one that does is stuck, and holds a connection. Sent when the connection starts.
const LIMITS: &str = "-c statement_timeout=5000 -c lock_timeout=1000 -c idle_in_transaction_session_timeout=10000";

/// Asks for messages in English, if the role may choose: what passes is told from what does not by their text where Diesel
/// hands on no SQLSTATE (see `error`). A role of production is granted that with `GRANT SET ON PARAMETER lc_messages`; RDS
/// speaks English without.
const ENGLISH: &str = "SELECT set_config('lc_messages', 'C', false) \
                       WHERE current_setting('lc_messages') <> 'C' AND has_parameter_privilege('lc_messages', 'SET')";

/// What a `postgres://` URL asks for.
#[derive(Clone)]
pub(crate) struct Target {
    config: tokio_postgres::Config,
    tls: Option<Arc<rustls::ClientConfig>>,
}

/// Reads a URL. `sslmode=require`, `verify-ca` and `verify-full` all check the server's certificate and name against
/// `sslrootcert`, a PEM file; RDS signs with a CA of its own that no root store has. Without `sslmode`, or with `disable`,
/// the connection is plain.
pub(crate) fn target(url: &str) -> anyhow::Result<Target> {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    if query.contains('@') {
        bail!("a ? or an @ in the user's name or password is written %3F or %40");
    }
    let (mut mode, mut root, mut kept) = ("disable", None, Vec::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("sslmode", value)) => mode = value,
            Some(("sslrootcert", value)) => root = Some(value),
            _ => kept.push(pair),
        }
    }
    let tls = match (mode, root) {
        ("disable", None) => None,
        ("require" | "verify-ca" | "verify-full", Some(path)) => Some(Arc::new(client_config(path)?)),
        ("require" | "verify-ca" | "verify-full", None) => {
            bail!("sslmode={mode} needs sslrootcert, the path of a PEM file with the server's CA")
        }
        ("disable", Some(_)) => bail!("sslrootcert needs sslmode=verify-full"),
        (other, _) => bail!("sslmode={other} is not one of disable, require, verify-ca, verify-full"),
    };
    let url = if kept.is_empty() { base.to_owned() } else { format!("{base}?{}", kept.join("&")) };
    let mut config = tokio_postgres::Config::from_str(&url).context("not a postgres:// URL")?;
    if config.get_hosts().is_empty() {
        bail!("the URL names no host");
    }
    config.ssl_mode(if tls.is_some() {
        tokio_postgres::config::SslMode::Require
    } else {
        tokio_postgres::config::SslMode::Disable
    });
    let options = config.get_options().map_or_else(|| LIMITS.to_owned(), |own| format!("{LIMITS} {own}"));
    config
        .options(options)
        .application_name("task-api")
        .connect_timeout(Duration::from_secs(2))
        .keepalives_idle(Duration::from_secs(15))
        .tcp_user_timeout(Duration::from_secs(5)); // a failed-over primary that answers nothing is noticed
    Ok(Target { config, tls })
}

fn client_config(path: &str) -> anyhow::Result<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    let certificates =
        CertificateDer::pem_file_iter(path).with_context(|| format!("cannot read sslrootcert {path}"))?;
    for certificate in certificates {
        let certificate =
            certificate.with_context(|| format!("sslrootcert {path} holds something that is no certificate"))?;
        roots.add(certificate).with_context(|| format!("sslrootcert {path} holds an unusable certificate"))?;
    }
    if roots.is_empty() {
        bail!("sslrootcert {path} holds no certificate");
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// Opens one connection.
pub(super) async fn connect(target: &Target) -> ConnectionResult<AsyncPgConnection> {
    let refused = |error: tokio_postgres::Error| {
        // The source says why; the error itself quotes the URL's host at most, never its password.
        let cause = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
        ConnectionError::BadConnection(format!("{error}{cause}"))
    };
    let mut connection = match &target.tls {
        None => {
            let (client, connection) = target.config.connect(tokio_postgres::NoTls).await.map_err(refused)?;
            AsyncPgConnection::try_from_client_and_connection(client, connection).await?
        }
        Some(tls) => {
            let connector = MakeRustlsConnect::new((**tls).clone());
            let (client, connection) = target.config.connect(connector).await.map_err(refused)?;
            AsyncPgConnection::try_from_client_and_connection(client, connection).await?
        }
    };
    connection.batch_execute(ENGLISH).await.map_err(ConnectionError::CouldntSetupConfiguration)?;
    Ok(connection)
}

/// The connections, handed out in order of arrival. Cheap to clone.
///
/// bb8 alone keeps no order: whoever asks at the right moment gets the connection that was about to be handed to somebody who
/// waits. Among 512 requests at a busy service half then wait for nothing, and some for the whole second, in vain. So a turn is
/// taken first, and there are as many as connections may be open. Those whose turn it is while one has to be opened keep no order.
///
/// When all that wait cannot have a turn within [`POSTGRES_WAIT_MAX`], those that do have waited nearly as long. The [`Gate`] is where
/// that is prevented, as long as the database moves: some 32 wait at most, and are late once each of 8 connections is held for 250 ms.
#[derive(Clone)]
pub(super) struct Connections(Arc<Shared>);

struct Shared {
    pool: Pool<AsyncPgConnection>,
    turns: Turns,
    gate: Gate,
    waiting: AtomicU32,
    timeouts: AtomicU64,
}

/// A connection in use.
pub(super) struct Lease<'a> {
    connection: PooledConnection<'a, AsyncPgConnection>,
    /// Goes after the connection, which is back in the pool by then.
    _turn: Turn,
}

impl Deref for Lease<'_> {
    type Target = AsyncPgConnection;

    fn deref(&self) -> &AsyncPgConnection {
        &self.connection
    }
}

impl DerefMut for Lease<'_> {
    fn deref_mut(&mut self) -> &mut AsyncPgConnection {
        &mut self.connection
    }
}

impl Connections {
    /// Up to `size` connections. Nothing is connected yet.
    pub(super) fn open(url: &str, size: u32) -> anyhow::Result<Connections> {
        let pool = pool(url, size)?;
        let turns = Turns::new(size as usize, POSTGRES_WAIT_MAX, Duration::MAX);
        let (gate, waiting, timeouts) = (Gate::default(), AtomicU32::new(0), AtomicU64::new(0));
        Ok(Connections(Arc::new(Shared { pool, turns, gate, waiting, timeouts })))
    }

    /// Closed while many wait for a connection.
    pub(super) fn gate(&self) -> Gate {
        self.0.gate.clone()
    }

    /// A connection, after [`POSTGRES_WAIT_MAX`] at the latest; for what `is_urgent`, before all who wait already.
    pub(super) async fn lease(&self, is_urgent: bool) -> Result<Lease<'_>, StoreError> {
        let shared = &self.0;
        let _waiting = Waiting::of(&shared.waiting);
        if let Some(turn) = shared.turns.try_take() {
            // The pool has a limit of its own, and it is the same.
            return Ok(Lease { connection: shared.pool.get().await?, _turn: turn });
        }
        let began = Instant::now();
        let ahead = shared.gate.waits();
        let turn = if is_urgent { shared.turns.take_next().await } else { shared.turns.take().await };
        let left = POSTGRES_WAIT_MAX.saturating_sub(began.elapsed());
        let connection = match turn {
            Some(_) => tokio::time::timeout(left, shared.pool.get()).await.ok(),
            None => None,
        };
        match (connection, turn) {
            (Some(connection), Some(turn)) => {
                let connection = connection?;
                ahead.served(); // not before: a database that is down gives turns, and no connections
                Ok(Lease { connection, _turn: turn })
            }
            _ => {
                shared.timeouts.fetch_add(1, Ordering::Relaxed);
                Err(StoreError::PoolTimeout)
            }
        }
    }

    /// What the pool's gauges show. A connection whose turn somebody has is used, whether or not they have noticed yet.
    pub(super) fn state(&self) -> PoolState {
        let state = self.0.pool.state();
        let taken = u32::try_from(self.0.turns.taken()).unwrap_or(u32::MAX);
        let used = state.connections.min(taken);
        PoolState {
            idle: state.connections - used,
            used,
            max: self.0.pool.config().max_size,
            pending: self.0.waiting.load(Ordering::Relaxed),
            timeouts_total: state.statistics.get_timed_out + self.0.timeouts.load(Ordering::Relaxed),
        }
    }
}

fn pool(url: &str, size: u32) -> anyhow::Result<Pool<AsyncPgConnection>> {
    let target = target(url)?;
    let mut config = ManagerConfig::default();
    // The default sends a SELECT 1 on each checkout, and `Fast` hands out a connection that has died meanwhile: after a restart
    // of the database, each one in the pool would cost a request.
    config.recycling_method = RecyclingMethod::CustomFunction(Box::new(|connection: &mut AsyncPgConnection| {
        let alive = if connection.is_broken() { Err(died_while_idle()) } else { Ok(()) };
        std::future::ready(alive).boxed()
    }));
    config.custom_setup = Box::new(move |_: &str| {
        let target = target.clone();
        async move { connect(&target).await }.boxed()
    });
    let manager = AsyncDieselConnectionManager::new_with_config("", config);
    Ok(Pool::builder()
        .max_size(size)
        .min_idle(Some(1))
        .queue_strategy(bb8::QueueStrategy::Lifo) // the one whose statements are prepared
        .max_lifetime(Some(Duration::from_secs(1800)))
        .idle_timeout(Some(Duration::from_secs(600)))
        .connection_timeout(POSTGRES_WAIT_MAX)
        .error_sink(Box::new(LogFailures { started: Instant::now(), last_second: Arc::new(AtomicU64::new(u64::MAX)) }))
        .build_unchecked(manager))
}

fn died_while_idle() -> diesel::result::Error {
    let text = "a connection was closed while it was idle";
    diesel::result::Error::DatabaseError(DatabaseErrorKind::ClosedConnection, Box::new(text.to_owned()))
}

/// Logs failed connection attempts, at most one a second: the pool tries again and again while the database is down.
#[derive(Debug, Clone)]
struct LogFailures {
    started: Instant,
    last_second: Arc<AtomicU64>,
}

impl bb8::ErrorSink<PoolError> for LogFailures {
    fn sink(&self, error: PoolError) {
        let second = self.started.elapsed().as_secs();
        if self.last_second.swap(second, Ordering::Relaxed) != second {
            tracing::warn!(event = "database_connection_failed", error = %error, "cannot connect to the database");
        }
    }

    fn boxed_clone(&self) -> Box<dyn bb8::ErrorSink<PoolError>> {
        Box::new(self.clone())
    }
}
