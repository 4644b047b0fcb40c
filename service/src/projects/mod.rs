//! Projects and their members: endpoints, requests and responses.

pub mod endpoints;
pub mod members;
pub mod model;

use crate::http::problem::{Kind, Problem};
use model::{MEMBERS_MAX, PROJECTS_MAX, ProjectRefusal};

impl From<ProjectRefusal> for Problem {
    fn from(refusal: ProjectRefusal) -> Self {
        match refusal {
            ProjectRefusal::NotFound => Problem::not_found("project or user"),
            ProjectRefusal::Forbidden => Problem::new(Kind::Forbidden, "only an owner of the project may do this"),
            ProjectRefusal::Personal => Problem::new(Kind::Conflict, "a personal project cannot be deleted"),
            ProjectRefusal::LastOwner => Problem::new(Kind::Conflict, "a project keeps at least one owner"),
            ProjectRefusal::AtHome => Problem::new(Kind::Conflict, "a personal project keeps its user as an owner"),
            ProjectRefusal::TooMany => Problem::new(
                Kind::Conflict,
                format!("a user has at most {PROJECTS_MAX} projects, a project at most {MEMBERS_MAX} members"),
            ),
        }
    }
}
