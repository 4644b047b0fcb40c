//! Tasks: endpoints, requests and responses.

pub mod activity;
pub mod batch;
pub mod create;
pub mod item;
pub(crate) mod json;
pub mod list;
pub mod model;
pub mod requests;

use crate::http::problem::{FieldError, Kind, Problem};
use model::{DEPTH_MAX, Refusal};

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let field = |pointer: &str, takes: &str| Problem::invalid_body(vec![FieldError::new(pointer, takes)]);
        match refusal {
            Refusal::NotFound => Problem::not_found("task"),
            Refusal::UnknownProject => Problem::not_found("project")
                .with_errors(vec![FieldError::new("/project_id", "takes a project that you are a member of")]),
            Refusal::Forbidden => Problem::new(Kind::Forbidden, "a viewer of the project may only read"),
            Refusal::Stale => Problem::new(Kind::PreconditionFailed, "read the task again and apply your change to it"),
            Refusal::AssigneeNotMember => field("/assignee_id", "takes a member of the task's project"),
            Refusal::UnknownParent => field("/parent_id", "takes a task of the same project"),
            Refusal::ParentCycle => field("/parent_id", "takes a task that is not this one or one of its subtasks"),
            Refusal::TooDeep => {
                field("/parent_id", &format!("takes a task that leaves the tree at most {DEPTH_MAX} deep"))
            }
            Refusal::IdTaken => Problem::new(Kind::Conflict, "another task has this id")
                .with_errors(vec![FieldError::new("/id", "takes an id that no other task has")]),
            Refusal::ParentDeleted => Problem::new(Kind::Conflict, "its parent is in the trash; restore that first"),
            Refusal::NoRoom => {
                let detail = format!("its parent has moved; the tree would be more than {DEPTH_MAX} deep with it");
                Problem::new(Kind::Conflict, detail)
            }
        }
    }
}
