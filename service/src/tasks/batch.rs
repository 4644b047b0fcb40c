//! `POST /tasks/batch`: up to 100 writes in one transaction.

use std::ops::ControlFlow;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::model::{IfMatch, Task};
use super::requests::{CreateTaskRequest, PatchTaskRequest};
use crate::app::AppState;
use crate::http::extract::{Body, Caller, IdempotencyKey};
use crate::http::object::Object;
use crate::http::problem::{FieldError, Problem, ProblemBody};
use crate::http::replay::{fresh, rendered};
use crate::http::validate::Checks;
use crate::store::idempotency::StoredResponse;
use crate::store::tasks::{BatchItem, BatchResult};

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
    #[schema(value_type = Vec<Operation>, min_items = 1, max_items = 100)]
    operations: Vec<Object<Operation>>,
}

/// One write of a batch.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Operation {
    /// Create a task.
    Create {
        /// As `POST /tasks` takes it.
        #[schema(value_type = CreateTaskRequest)]
        task: Object<CreateTaskRequest>,
    },
    /// Change a task.
    Update {
        /// The task.
        #[schema(value_type = Uuid)]
        id: String,
        /// As `PATCH /tasks/{id}` takes it.
        #[schema(value_type = PatchTaskRequest)]
        patch: Object<PatchTaskRequest>,
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
        Operation::Create { task: Object(task) } => {
            let mut inner = Checks::under(format!("{pointer}/task"));
            let new = task.check(&mut inner, Uuid::now_v7());
            inner.finish()?;
            Some(BatchItem::Create(new))
        }
        Operation::Update { id, patch: Object(patch), version } => {
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

/// The result of an operation that the store was asked for.
fn result(created: bool, result: &BatchResult) -> OperationResult {
    match result {
        Ok(written) => OperationResult {
            status: if created {
                201
            } else if written.is_some() {
                200
            } else {
                204
            },
            task: written.as_ref().map(|written| written.task.clone()),
            problem: None,
        },
        Err(refusal) => refused(&Problem::from(refusal.clone())),
    }
}

fn refused(problem: &Problem) -> OperationResult {
    OperationResult { status: problem.kind().status().as_u16(), task: None, problem: Some(problem.body()) }
}

/// An atomic batch that was not done: what is wrong with each operation at fault.
fn not_done(problems: Vec<(usize, Problem)>) -> Problem {
    let mut errors = Vec::new();
    for (at, problem) in problems {
        let body = problem.body();
        let pointer = format!("/operations/{at}");
        match body.errors.is_empty() {
            true => errors.push(FieldError::new(pointer, format!("{}: {}", body.title, body.detail))),
            false => errors.extend(body.errors.into_iter().map(|error| match error.pointer.starts_with(&pointer) {
                true => error,
                false => FieldError::new(format!("{pointer}{}", error.pointer), error.detail),
            })),
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
        .map(|(at, Object(operation))| check(operation, &format!("/operations/{at}")))
        .collect();
    if atomic && checked.iter().any(Result::is_err) {
        let problems = checked.into_iter().enumerate().filter_map(|(at, item)| Some((at, item.err()?)));
        return Err(not_done(problems.collect()));
    }
    let mut items = Vec::with_capacity(count);
    // What each operation waits for: a result of the store (with "it creates"), or nothing more.
    let mut plan: Vec<Result<bool, OperationResult>> = Vec::with_capacity(count);
    for item in checked {
        match item {
            Ok(item) => {
                plan.push(Ok(matches!(item, BatchItem::Create(_))));
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
        let problems =
            results.into_iter().enumerate().filter_map(|(at, result)| Some((at, Problem::from(result.err()?))));
        return Err(not_done(problems.collect()));
    }
    count_up(&state, &plan, &results);
    Ok(answer(atomic, &plan, &results).into_response())
}

fn answer(atomic: bool, plan: &[Result<bool, OperationResult>], results: &[BatchResult]) -> StoredResponse {
    let mut results = results.iter();
    let results = plan.iter().filter_map(|step| match step {
        Ok(created) => results.next().map(|found| result(*created, found)),
        Err(refused) => Some(refused.clone()),
    });
    let status = if atomic { StatusCode::OK } else { StatusCode::MULTI_STATUS };
    rendered(status, &BatchResponse { results: results.collect() })
}

fn count_up(state: &AppState, plan: &[Result<bool, OperationResult>], results: &[BatchResult]) {
    let steps = plan.iter().filter_map(|step| step.as_ref().ok());
    let created = steps.zip(results).filter(|(created, result)| **created && result.is_ok()).count();
    let completed = results.iter().flatten().flatten().filter(|written| written.completed).count();
    state.metrics.task_created(created as u64);
    state.metrics.task_completed(completed as u64);
}
