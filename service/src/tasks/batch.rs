//! `POST /tasks/batch`: up to 100 writes in one transaction.

use std::ops::ControlFlow;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::model::{IfMatch, Refusal, Task};
use super::requests::{CreateTaskRequest, PatchTaskRequest};
use crate::app::AppState;
use crate::http::extract::{Body, Caller, IdempotencyKey};
use crate::http::object::{object, objects};
use crate::http::problem::{FieldError, Problem, ProblemBody};
use crate::http::replay::{fresh, rendered};
use crate::http::validate::Checks;
use crate::store::idempotency::StoredResponse;
use crate::store::tasks::{BatchDone, BatchItem, BatchResult};

/// Writes in one batch at most.
pub const OPERATIONS_MAX: usize = 100;

/// What a batch takes.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"atomic": true, "operations": [{"op": "create", "task": {"title": "One"}}, {"op": "create", "task": {"title": "Two"}}]}))]
pub struct BatchRequest {
    /// All or nothing; else each operation has a result of its own. False if left out.
    #[serde(default)]
    atomic: bool,
    /// 1 to 100, done in this order.
    #[serde(deserialize_with = "objects")]
    #[schema(min_items = 1, max_items = 100)]
    operations: Vec<Operation>,
}

/// One write of a batch.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Operation {
    /// Create a task.
    Create {
        /// As `POST /tasks` takes it.
        #[serde(deserialize_with = "object")]
        task: CreateTaskRequest,
    },
    /// Change a task.
    Update {
        /// The task.
        #[schema(value_type = Uuid)]
        id: String,
        /// As `PATCH /tasks/{id}` takes it.
        #[serde(deserialize_with = "object")]
        patch: PatchTaskRequest,
        /// The version that the caller saw, as `If-Match` has it.
        version: Option<i64>,
    },
    /// Delete a task.
    Delete {
        /// The task.
        #[schema(value_type = Uuid)]
        id: String,
        /// The version that the caller saw, as `If-Match` has it.
        version: Option<i64>,
    },
}

/// What became of one operation.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct OperationResult {
    /// The status that the single request would have had.
    #[schema(example = 201, minimum = 200, maximum = 599)]
    pub status: u16,
    /// The task after a create or an update.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub task: Option<Task>,
    /// Why it was not done.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub problem: Option<ProblemBody>,
}

/// The results, in the order of the operations.
#[derive(Debug, Serialize, ToSchema)]
pub struct BatchResponse {
    /// One for each operation.
    pub results: Vec<OperationResult>,
}

/// A valid operation, or the problem with it.
type Checked = Result<BatchItem, Problem>;

fn check(operation: Operation, pointer: &str) -> Checked {
    let mut checks = Checks::under(pointer);
    let versions = |version: Option<i64>| version.map_or(IfMatch::Any, |version| IfMatch::Versions(vec![version]));
    let item = match operation {
        Operation::Create { task } => {
            let mut inner = Checks::under(format!("{pointer}/task"));
            let new = task.check(&mut inner, Uuid::now_v7());
            inner.finish()?;
            Some(BatchItem::Create(new))
        }
        Operation::Update { id, patch, version } => {
            let mut inner = Checks::under(format!("{pointer}/patch"));
            let patch = patch.check(&mut inner);
            inner.finish()?;
            checks.id("id", &id).map(|id| BatchItem::Update(id, patch, versions(version)))
        }
        Operation::Delete { id, version } => checks.id("id", &id).map(|id| BatchItem::Delete(id, versions(version))),
    };
    checks.finish()?;
    item.ok_or_else(Problem::internal)
}

/// The member of an operation that holds the fields of a task.
fn member(item: &BatchItem) -> &'static str {
    match item {
        BatchItem::Create(_) => "/task",
        BatchItem::Update(..) => "/patch",
        BatchItem::Delete(..) => "",
    }
}

/// The problem of an operation that the store refused. Its pointers, which the store takes from the single request, lead to
/// `fields` in the batch.
fn refusal(refusal: &Refusal, fields: &str) -> Problem {
    let problem = Problem::from(refusal.clone());
    let errors = problem.body().errors.into_iter();
    let errors = errors.map(|error| FieldError::new(format!("{fields}{}", error.pointer), error.detail)).collect();
    problem.with_errors(errors)
}

/// The result of an operation that the store was asked for.
fn result(result: &BatchResult, fields: &str) -> OperationResult {
    let (status, task) = match result {
        Ok(BatchDone::Created(written)) => (201, Some(written.task.clone())),
        Ok(BatchDone::Present(task)) => (200, Some(task.clone())),
        Ok(BatchDone::Updated(written)) => (200, Some(written.task.clone())),
        Ok(BatchDone::Deleted) => (204, None),
        Err(refused_with) => return refused(&refusal(refused_with, fields)),
    };
    OperationResult { status, task, problem: None }
}

fn refused(problem: &Problem) -> OperationResult {
    OperationResult { status: problem.kind().status().as_u16(), task: None, problem: Some(problem.body()) }
}

/// An atomic batch that was not done: what is wrong with each operation at fault.
fn not_done(problems: Vec<(usize, Problem)>) -> Problem {
    let mut errors = Vec::new();
    for (at, problem) in problems {
        let body = problem.body();
        match body.errors.is_empty() {
            true => {
                let detail = format!("{}: {}", body.title, body.detail);
                errors.push(FieldError::new(format!("/operations/{at}"), detail));
            }
            false => errors.extend(body.errors),
        }
    }
    errors.truncate(OPERATIONS_MAX);
    Problem::invalid_body(errors)
}

/// Runs up to 100 creates, updates and deletes in one transaction: with `atomic` all of them or none, else each with a result
/// of its own.
#[utoipa::path(
    post, path = "/api/v1/tasks/batch", tag = "tasks", operation_id = "batch_tasks", security(("bearer" = [])),
    request_body = BatchRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes a repeat within 24 hours get the first answer", min_length = 1, max_length = 255, pattern = "^[!-~]+$")),
    responses(
        (status = 200, description = "All done, atomically", body = BatchResponse, headers(("idempotency-replayed" = String, description = "`true` when this is the answer to an earlier request"))),
        (status = 207, description = "A result for each", body = BatchResponse, headers(("idempotency-replayed" = String, description = "`true` when this is the answer to an earlier request"))),
        (status = 409, description = "The first request with this key still runs", body = crate::http::problem::ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn batch_tasks(
    State(state): State<Arc<AppState>>,
    caller: Caller,
    key: IdempotencyKey,
    Body(request): Body<BatchRequest>,
) -> Result<Response, Problem> {
    let count = request.operations.len();
    if count == 0 || count > OPERATIONS_MAX {
        let takes = format!("takes 1 to {OPERATIONS_MAX} operations");
        return Err(Problem::invalid_body(vec![FieldError::new("/operations", takes)]));
    }
    let claim = key.claim(&caller, "POST /tasks/batch", &request, &state);
    let atomic = request.atomic;
    let checked: Vec<Checked> = request
        .operations
        .into_iter()
        .enumerate()
        .map(|(at, operation)| check(operation, &format!("/operations/{at}")))
        .collect();
    if atomic && checked.iter().any(Result::is_err) {
        let problems = checked.into_iter().enumerate().filter_map(|(at, item)| Some((at, item.err()?)));
        return Err(not_done(problems.collect()));
    }
    let mut items = Vec::with_capacity(count);
    // What each operation waits for: a result of the store (with where its fields stand), or nothing more.
    let mut plan: Vec<Result<String, OperationResult>> = Vec::with_capacity(count);
    for (at, item) in checked.into_iter().enumerate() {
        match item {
            Ok(item) => {
                plan.push(Ok(format!("/operations/{at}{}", member(&item))));
                items.push(item);
            }
            Err(problem) => plan.push(Err(refused(&problem))),
        }
    }
    let plan = Arc::new(plan);
    let render = {
        let plan = Arc::clone(&plan);
        move |results: &Vec<BatchResult>| {
            (!atomic || results.iter().all(Result::is_ok)).then(|| answer(atomic, &plan, results))
        }
    };
    let keyed = state.db.batch_tasks(caller.0.user_id, items, atomic, state.clock.now(), claim, render).await?;
    let results = match fresh(keyed) {
        ControlFlow::Continue(results) => results,
        ControlFlow::Break(answer) => return Ok(answer),
    };
    if atomic && results.iter().any(Result::is_err) {
        let steps = plan.iter().zip(&results).enumerate();
        let problems = steps.filter_map(|(at, (step, result))| {
            let (fields, refused_with) = (step.as_ref().ok()?, result.as_ref().err()?);
            Some((at, refusal(refused_with, fields)))
        });
        return Err(not_done(problems.collect()));
    }
    count_up(&state, &results);
    Ok(answer(atomic, &plan, &results).into_response())
}

fn answer(atomic: bool, plan: &[Result<String, OperationResult>], results: &[BatchResult]) -> StoredResponse {
    let mut results = results.iter();
    let results = plan.iter().filter_map(|step| match step {
        Ok(fields) => results.next().map(|found| result(found, fields)),
        Err(refused) => Some(refused.clone()),
    });
    let status = if atomic { StatusCode::OK } else { StatusCode::MULTI_STATUS };
    rendered(status, &BatchResponse { results: results.collect() })
}

fn count_up(state: &AppState, results: &[BatchResult]) {
    let (mut created, mut completed) = (0, 0);
    for done in results.iter().flatten() {
        created += u64::from(matches!(done, BatchDone::Created(_)));
        if let BatchDone::Created(written) | BatchDone::Updated(written) = done {
            completed += u64::from(written.completed);
        }
    }
    state.metrics.task_created(created);
    state.metrics.task_completed(completed);
}
