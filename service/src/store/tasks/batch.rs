//! Many writes in one transaction: all of them or none, or each with a result of its own.

use std::collections::{HashMap, HashSet};

use diesel::{QueryResult, SqliteConnection};
use diesel_async::AsyncPgConnection;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use uuid::Uuid;

use super::create::CreateTask;
use super::delete::DeleteTask;
use super::import::Import;
use super::patch::PatchTask;
use super::{load_visible, tree, visible};
use crate::projects::model::Role;
use crate::store::idempotency::{Claim, Effect, Keyed, StoredResponse};
use crate::store::{Db, End, Operation, StoreError};
use crate::tasks::model::{IfMatch, NewTask, Refusal, Task, TaskPatch, Written};

/// One write of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BatchItem {
    /// Create a task.
    Create(NewTask),
    /// Patch a task.
    Update(Uuid, TaskPatch, IfMatch),
    /// Delete a task.
    Delete(Uuid, IfMatch),
}

impl BatchItem {
    /// The task that it changes or deletes.
    fn changes(&self) -> Option<Uuid> {
        match self {
            BatchItem::Create(_) => None,
            BatchItem::Update(id, ..) | BatchItem::Delete(id, _) => Some(*id),
        }
    }

    /// Whether it changes the form of a tree, for which it takes the whole lock.
    fn reshapes(&self) -> bool {
        match self {
            BatchItem::Create(new) => new.parent_id.is_some(),
            BatchItem::Update(_, patch, _) => patch.parent_id.as_set().is_some(),
            BatchItem::Delete(..) => true,
        }
    }

    /// The task under which it puts another.
    fn parent(&self) -> Option<Uuid> {
        match self {
            BatchItem::Create(new) => new.parent_id,
            BatchItem::Update(_, patch, _) => patch.parent_id.as_set().copied().flatten(),
            BatchItem::Delete(..) => None,
        }
    }
}

/// What one write did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BatchDone {
    /// Created this task.
    Created(Written),
    /// Nothing: the same create with the same id had been made before.
    Present(Task),
    /// Changed this task.
    Updated(Written),
    /// Deleted a task.
    Deleted,
}

/// What became of one write.
pub type BatchResult = Result<BatchDone, Refusal>;

struct Batch {
    user_id: Uuid,
    items: Vec<BatchItem>,
    atomic: bool,
    now: Timestamp,
}

/// One item with all that its effect needs.
enum Step {
    Create(CreateTask),
    Update(PatchTask),
    Delete(DeleteTask),
}

impl Batch {
    fn steps(&self) -> impl Iterator<Item = Step> {
        let (user_id, now) = (self.user_id, self.now);
        self.items.iter().cloned().map(move |item| match item {
            BatchItem::Create(new) => Step::Create(CreateTask { user_id, new, now }),
            BatchItem::Update(id, patch, if_match) => Step::Update(PatchTask { user_id, id, patch, if_match, now }),
            BatchItem::Delete(id, if_match) => Step::Delete(DeleteTask { user_id, id, if_match, now }),
        })
    }

    /// Takes every lock that the items will need, in an order that is the same for all batches. Taken one by one, in the
    /// order of the items, two batches over the same tasks would each wait for the other.
    async fn lock(&self, connection: &mut AsyncPgConnection) -> QueryResult<()> {
        let changed: Vec<Uuid> = self.items.iter().filter_map(BatchItem::changes).collect();
        let parents: Vec<Uuid> = self.items.iter().filter_map(BatchItem::parent).collect();
        let whole = self.items.iter().any(BatchItem::reshapes);
        let all = [changed.as_slice(), parents.as_slice()].concat();
        if !all.is_empty() {
            let trees = tree::lock_all(self.user_id, &all, whole);
            let _: Vec<(bool,)> = diesel_async::RunQueryDsl::load(trees, connection).await?;
        }
        if changed.len() > 1 {
            let rows = tree::lock_rows(self.user_id, &changed);
            let _: Vec<(bool,)> = diesel_async::RunQueryDsl::load(rows, connection).await?;
        }
        Ok(())
    }

    /// The items as one statement, when it can do them: all of them create a task that has no parent, each with an id of its
    /// own. No effect of an item can then change what becomes of another.
    fn import(&self) -> Option<Import> {
        let plain: Option<Vec<&NewTask>> = self
            .items
            .iter()
            .map(|item| match item {
                BatchItem::Create(new) if new.parent_id.is_none() => Some(new),
                _ => None,
            })
            .collect();
        let plain = plain.filter(|plain| plain.len() > 1)?;
        let ids: HashSet<Uuid> = plain.iter().map(|new| new.id).collect();
        (ids.len() == plain.len()).then(|| Import::of(self.user_id, &plain, self.now))
    }

    /// A create whose id is taken: no conflict when `task`, which has the id, is what it would make.
    fn made_before(new: &NewTask, task: Option<(Task, Role)>) -> BatchResult {
        let task = task.map(|(task, _)| task).filter(|task| new.made(task));
        task.map(BatchDone::Present).ok_or(Refusal::IdTaken)
    }

    /// An atomic batch with one refusal leaves nothing; the others keep what was done.
    fn end(&self, results: Vec<BatchResult>) -> End<Vec<BatchResult>> {
        let undo = self.atomic && results.iter().any(Result::is_err);
        if undo { End::Rollback(results) } else { End::Commit(results) }
    }
}

impl Effect for Batch {
    type Output = Vec<BatchResult>;

    fn sqlite(&self, connection: &mut SqliteConnection) -> QueryResult<End<Self::Output>> {
        let mut results = Vec::with_capacity(self.items.len());
        for step in self.steps() {
            results.push(match step {
                Step::Create(create) => match create.run_sqlite(connection)? {
                    Err(Refusal::IdTaken) => {
                        Batch::made_before(&create.new, load_visible(connection, self.user_id, create.new.id)?)
                    }
                    created => created.map(BatchDone::Created),
                },
                Step::Update(patch) => patch.run_sqlite(connection)?.map(BatchDone::Updated),
                Step::Delete(delete) => delete.run_sqlite(connection)?.map(|()| BatchDone::Deleted),
            });
        }
        Ok(self.end(results))
    }

    fn postgres<'c>(&'c self, connection: &'c mut AsyncPgConnection) -> BoxFuture<'c, QueryResult<End<Self::Output>>> {
        async move {
            let imported = match self.import() {
                Some(import) => import.run(connection).await?,
                None => {
                    self.lock(connection).await?;
                    HashMap::new()
                }
            };
            let mut results = Vec::with_capacity(self.items.len());
            for step in self.steps() {
                results.push(match step {
                    Step::Create(create) if let Some(&project_id) = imported.get(&create.new.id) => {
                        Ok(BatchDone::Created(create.made_in(project_id)))
                    }
                    Step::Create(create) => match create.run_postgres(connection).await? {
                        Err(Refusal::IdTaken) => {
                            let found = visible(self.user_id, create.new.id);
                            let found: Vec<_> = diesel_async::RunQueryDsl::load(found, connection).await?;
                            Batch::made_before(&create.new, found.into_iter().next())
                        }
                        created => created.map(BatchDone::Created),
                    },
                    Step::Update(patch) => patch.run_postgres(connection).await?.map(BatchDone::Updated),
                    Step::Delete(delete) => delete.run_postgres(connection).await?.map(|()| BatchDone::Deleted),
                });
            }
            Ok(self.end(results))
        }
        .boxed()
    }
}

impl Db {
    /// Runs a batch; the results stand in the order of the items.
    pub async fn batch_tasks(
        &self,
        user_id: Uuid,
        items: Vec<BatchItem>,
        atomic: bool,
        now: Timestamp,
        claim: Option<Claim>,
        render: impl Fn(&Vec<BatchResult>) -> Option<StoredResponse> + Send + Sync + 'static,
    ) -> Result<Keyed<Vec<BatchResult>>, StoreError> {
        let batch = Batch { user_id, items, atomic, now };
        match claim {
            Some(claim) => self.run_keyed(Operation::TaskBatch, batch, claim, render).await,
            None => Ok(Keyed::Fresh(self.run(Operation::TaskBatch, batch).await?)),
        }
    }
}
