//! Groups of writes on a real file: who is kept, who is undone, and how many commits that takes.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use diesel::connection::SimpleConnection as _;
use diesel::sql_types::Text;
use futures_util::future::BoxFuture;
use telemetry::metrics::{BuildInfo, Metrics};

use super::*;
use crate::store::migrate;
use crate::store::statement::{Statement, binds};

struct Rig {
    db: Db,
    path: PathBuf,
    _directory: tempfile::TempDir,
}

/// A write that is the first of its group for as long as this is not dropped.
struct Held {
    release: Option<Sender<()>>,
    write: tokio::task::JoinHandle<Result<(), StoreError>>,
}

impl Rig {
    async fn build() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tasks.db");
        let url = format!("sqlite://{}", path.display());
        migrate::run(&url, migrate::Command::Up).await.unwrap();
        let metrics = Metrics::new(&[], Operation::NAMES, BuildInfo { version: "0", revision: "0" });
        let db = Db::open(&url, 1, metrics).await.unwrap();
        db.sqlite_maintain(Operation::Maintenance, |connection| {
            connection.batch_execute("CREATE TABLE kept (name TEXT NOT NULL) STRICT; PRAGMA wal_checkpoint(TRUNCATE)")
        })
        .await
        .unwrap();
        Rig { db, path, _directory: directory }
    }

    /// Keeps the thread at work until told otherwise.
    async fn hold(&self) -> Held {
        let (begun, begins) = tokio::sync::oneshot::channel();
        let (release, released): (Sender<()>, Receiver<()>) = channel();
        let db = self.db.clone();
        let write = tokio::spawn(async move {
            let work = move |connection: &mut SqliteConnection| {
                begun.send(()).unwrap();
                let _ = released.recv();
                insert(connection, "first")
            };
            db.sqlite_write(Operation::TaskCreate, work).await
        });
        begins.await.unwrap();
        Held { release: Some(release), write }
    }

    fn start<F>(&self, work: F) -> tokio::task::JoinHandle<Result<(), StoreError>>
    where
        F: FnOnce(&mut SqliteConnection) -> QueryResult<End<()>> + Send + 'static,
    {
        let db = self.db.clone();
        tokio::spawn(async move { db.sqlite_write(Operation::TaskCreate, work).await })
    }

    /// Waits until so many writes wait for the thread.
    async fn waiting(&self, count: u32) {
        while self.db.pool_state().pending != count {
            tokio::task::yield_now().await;
        }
    }

    async fn kept(&self) -> Vec<String> {
        let statement = Statement::<(Text,)>::new("SELECT name FROM kept ORDER BY name", vec![]);
        let rows: Vec<(String,)> = self.db.read(Operation::TaskList, statement).await.unwrap();
        rows.into_iter().map(|(name,)| name).collect()
    }

    /// Commits in the log since it was last folded back: frames that say how large the database is after them.
    fn commits(&self) -> usize {
        let wal = std::fs::read(self.path.with_extension("db-wal")).unwrap();
        let word = |at: usize| u32::from_be_bytes(wal[at..at + 4].try_into().unwrap());
        let (page_size, salt) = (word(8) as usize, &wal[16..24]);
        let frames = wal[32..].chunks_exact(24 + page_size).take_while(|frame| &frame[8..16] == salt);
        frames.filter(|frame| frame[4..8] != [0; 4]).count()
    }
}

fn insert(connection: &mut SqliteConnection, name: &'static str) -> QueryResult<End<()>> {
    let statement = Statement::<()>::new("INSERT INTO kept (name) VALUES (?)", binds![name]);
    diesel::RunQueryDsl::execute(statement, connection).map(|_| End::Commit(()))
}

#[tokio::test]
async fn writes_that_wait_together_share_one_commit_and_each_has_its_own_fate() {
    let rig = Rig::build().await;
    let mut held = rig.hold().await;
    let kept = rig.start(|connection| insert(connection, "kept"));
    rig.waiting(1).await;
    let refused = rig.start(|connection| insert(connection, "refused").map(|_| End::Rollback(())));
    rig.waiting(2).await;
    let panicked = rig.start(|connection| {
        insert(connection, "panicked")?;
        panic!("a defect")
    });
    rig.waiting(3).await;
    let failed = rig.start(|connection| {
        insert(connection, "failed")?;
        connection.batch_execute("INSERT INTO nowhere VALUES (1)")?;
        Ok(End::Commit(()))
    });
    rig.waiting(4).await;
    let last = rig.start(|connection| insert(connection, "last"));
    rig.waiting(5).await;
    held.release = None;
    assert_eq!(held.write.await.unwrap().ok(), Some(()));
    assert!(kept.await.unwrap().is_ok() && refused.await.unwrap().is_ok() && last.await.unwrap().is_ok());
    assert!(panicked.await.unwrap_err().is_panic(), "a panic goes on in the caller");
    assert!(matches!(failed.await.unwrap(), Err(StoreError::Internal(why)) if why.contains("nowhere")));
    assert_eq!(rig.kept().await, ["first", "kept", "last"]);
    assert_eq!(rig.commits(), 2, "one for all up to the failure, which ends its group, and one for the last");
    // The thread is idle a moment after its last answer.
    while rig.db.pool_state().used > 0 {
        tokio::task::yield_now().await;
    }
    let state = rig.db.pool_state();
    assert_eq!((state.pending, state.timeouts_total), (0, 0));
}

#[tokio::test]
async fn a_full_disk_is_unavailable_for_the_whole_group_and_nothing_of_it_is_kept() {
    let rig = Rig::build().await;
    let limit = |sql: &'static str| {
        rig.db.sqlite_maintain(Operation::Maintenance, move |connection| connection.batch_execute(sql))
    };
    limit("PRAGMA max_page_count = 1").await.unwrap(); // as many as there are
    let mut held = rig.hold().await;
    let beside = rig.start(|connection| insert(connection, "beside"));
    rig.waiting(1).await;
    let fills = rig.start(|connection| {
        connection.batch_execute("INSERT INTO kept (name) VALUES (hex(zeroblob(1000000)))").map(|()| End::Commit(()))
    });
    rig.waiting(2).await;
    let last = rig.start(|connection| insert(connection, "last"));
    rig.waiting(3).await;
    held.release = None;
    let full = fills.await.unwrap();
    assert!(matches!(&full, Err(StoreError::Unavailable(why)) if why.contains("full")), "{full:?}");
    for other in [held.write, beside] {
        let other = other.await.unwrap();
        assert!(matches!(other, Err(StoreError::Unavailable(_))), "{other:?}");
    }
    assert!(last.await.unwrap().is_ok(), "what came after it has a transaction of its own");
    assert_eq!(rig.kept().await, ["last"]);
    limit("PRAGMA max_page_count = 1000000").await.unwrap();
    rig.start(|connection| insert(connection, "next")).await.unwrap().unwrap();
    assert_eq!(rig.kept().await, ["last", "next"]);
}

/// Keeps a name, or does not.
struct Keeping(&'static str, fn(&mut SqliteConnection, &'static str) -> QueryResult<End<()>>);

impl Effect for Keeping {
    type Output = ();
    const REFUSES_FIRST: bool = true;

    fn sqlite(&self, connection: &mut SqliteConnection) -> QueryResult<End<()>> {
        (self.1)(connection, self.0)
    }

    fn postgres<'c>(&'c self, _: &'c mut diesel_async::AsyncPgConnection) -> BoxFuture<'c, QueryResult<End<()>>> {
        Box::pin(async { Err(diesel::result::Error::NotFound) })
    }
}

#[tokio::test]
async fn an_effect_that_refuses_first_takes_nobody_along_and_one_that_fails_half_way_takes_all() {
    let rig = Rig::build().await;
    let start = |effect: Keeping| {
        let db = rig.db.clone();
        tokio::spawn(async move { db.sqlite_effect(Operation::TaskCreate, effect).await })
    };
    let mut held = rig.hold().await;
    let kept = start(Keeping("kept", insert));
    rig.waiting(1).await;
    let refused = start(Keeping("refused", |_, _| Ok(End::Rollback(()))));
    rig.waiting(2).await;
    let last = start(Keeping("last", insert));
    rig.waiting(3).await;
    held.release = None;
    held.write.await.unwrap().unwrap();
    for answer in [kept, refused, last] {
        answer.await.unwrap().unwrap();
    }
    assert_eq!((rig.kept().await, rig.commits()), (vec!["first".to_owned(), "kept".into(), "last".into()], 1));

    let fails = |_: &mut SqliteConnection, _| Err(diesel::result::Error::NotFound);
    let mut held = rig.hold().await;
    let failed = start(Keeping("failed", fails));
    rig.waiting(1).await;
    held.release = None;
    assert!(held.write.await.unwrap().is_ok(), "nothing was changed by what failed");
    assert!(failed.await.unwrap().is_err());

    let fails = |connection: &mut SqliteConnection, name| {
        insert(connection, name)?;
        Err(diesel::result::Error::NotFound)
    };
    let panics = |connection: &mut SqliteConnection, name| {
        insert(connection, name)?;
        panic!("a defect")
    };
    let refuses_late = |connection: &mut SqliteConnection, name| insert(connection, name).map(|_| End::Rollback(()));
    let half_way = [Keeping("failed", fails), Keeping("panicked", panics), Keeping("refused late", refuses_late)];
    for effect in half_way {
        let mut held = rig.hold().await;
        let lost = start(effect);
        rig.waiting(1).await;
        held.release = None;
        let beside = held.write.await.unwrap();
        assert!(matches!(beside, Err(StoreError::Unavailable(_))), "half a write is no more kept than: {beside:?}");
        assert!(!matches!(lost.await, Ok(Ok(()))));
        assert_eq!(rig.kept().await, ["first", "first", "kept", "last"]);
    }
    start(Keeping("next", insert)).await.unwrap().unwrap();
    assert_eq!(rig.kept().await.len(), 5, "the thread goes on");
}

#[tokio::test]
async fn a_write_waits_for_company_until_it_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tasks.db").display().to_string();
    let connection = sqlite::connect(&path, true).unwrap();
    // Longer than a test may take: it ends because the others came.
    let writer = Writer::with(connection, &path, Duration::from_secs(600)).unwrap();
    let write = |hold: Option<Receiver<()>>| {
        let (writer, (sender, answered)) = (writer.clone(), tokio::sync::oneshot::channel());
        tokio::spawn(async move {
            let work = move |_: Result<&mut SqliteConnection, StoreError>, _| {
                let _ = hold.map(|hold| hold.recv());
                Ran { left: Left::Changed, answer: Box::new(|_| _ = sender.send(())) }
            };
            writer.run(false, work, answered).await
        })
    };
    let (release, held) = channel();
    let mut together = vec![write(Some(held))];
    while !writer.shared.busy.load(Ordering::Relaxed) {
        tokio::task::yield_now().await;
    }
    together.extend([write(None), write(None)]);
    while writer.state().pending < 2 {
        tokio::task::yield_now().await;
    }
    drop(release);
    for write in together {
        write.await.unwrap().unwrap();
    }
    for write in [write(None), write(None), write(None)] {
        let answered = tokio::time::timeout(Duration::from_secs(60), write).await;
        answered.expect("it was woken").unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_full_disk_is_unavailable_too_for_who_shares_a_transaction_with_an_effect_without_a_savepoint() {
    let rig = Rig::build().await;
    let limit = "PRAGMA max_page_count = 1"; // as many as there are
    rig.db.sqlite_maintain(Operation::Maintenance, move |connection| connection.batch_execute(limit)).await.unwrap();
    let mut held = rig.hold().await;
    let fills = |connection: &mut SqliteConnection, _| {
        connection.batch_execute("INSERT INTO kept (name) VALUES (hex(zeroblob(1000000)))").map(|()| End::Commit(()))
    };
    let db = rig.db.clone();
    let fills = tokio::spawn(async move { db.sqlite_effect(Operation::TaskCreate, Keeping("much", fills)).await });
    rig.waiting(1).await;
    held.release = None;
    for answer in [held.write.await.unwrap(), fills.await.unwrap()] {
        assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    }
    rig.start(|connection| insert(connection, "next")).await.unwrap().unwrap();
    assert_eq!(rig.kept().await, ["next"]);
}

#[tokio::test]
async fn a_refusal_that_comes_first_leaves_nothing_and_takes_nobody_along() {
    let rig = Rig::build().await;
    for end in [false, true] {
        let refused = rig.start(move |connection| {
            insert(connection, "refused")?;
            if end { Ok(End::Rollback(())) } else { Err(diesel::result::Error::RollbackTransaction) }
        });
        assert_eq!(refused.await.unwrap().is_ok(), end);
    }
    assert!(rig.start(|connection| insert(connection, "next")).await.unwrap().is_ok());
    assert_eq!((rig.kept().await, rig.commits()), (vec!["next".to_owned()], 1));
}

#[tokio::test]
async fn a_write_runs_to_its_end_although_its_caller_left() {
    let rig = Rig::build().await;
    let held = rig.hold().await;
    let left = rig.start(|connection| insert(connection, "left"));
    rig.waiting(1).await;
    left.abort();
    assert!(left.await.unwrap_err().is_cancelled());
    drop(held.release);
    held.write.await.unwrap().unwrap();
    rig.start(|connection| insert(connection, "next")).await.unwrap().unwrap();
    assert_eq!(rig.kept().await, ["first", "left", "next"]);
}

#[tokio::test]
async fn a_write_that_waited_too_long_is_refused_and_never_runs() {
    let rig = Rig::build().await;
    let held = rig.hold().await;
    let late = rig.start(|connection| insert(connection, "late"));
    rig.waiting(1).await;
    assert!(matches!(late.await.unwrap(), Err(StoreError::PoolTimeout)));
    let state = rig.db.pool_state();
    assert_eq!((state.pending, state.timeouts_total), (0, 1));
    drop(held.release);
    held.write.await.unwrap().unwrap();
    rig.start(|connection| insert(connection, "next")).await.unwrap().unwrap();
    assert_eq!(rig.kept().await, ["first", "next"]);
}

#[tokio::test]
async fn a_lock_that_another_process_holds_is_a_timeout_and_the_next_write_succeeds() {
    let rig = Rig::build().await;
    let mut other = sqlite::connect(rig.path.to_str().unwrap(), true).unwrap();
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    rig.db
        .sqlite_maintain(Operation::Maintenance, |connection| connection.batch_execute("PRAGMA busy_timeout = 50"))
        .await
        .unwrap();
    let refused = rig.start(|connection| insert(connection, "refused")).await.unwrap();
    assert!(matches!(refused, Err(StoreError::Timeout)), "{refused:?}");
    other.batch_execute("COMMIT").unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    rig.start(|connection| insert(connection, "next")).await.unwrap().unwrap();
    assert_eq!(rig.kept().await, ["next"]);
}
