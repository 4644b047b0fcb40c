//! What a project is, and what its members may do.

use std::str::FromStr;

use diesel::Queryable;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::store::types::{UnknownVariant, text_enum};

/// What a member may do: each role may all that the one after it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Change the project and its members, and delete it.
    Owner,
    /// Create, change and delete tasks.
    Editor,
    /// Read.
    Viewer,
}

impl Role {
    /// Every role.
    pub const ALL: [Role; 3] = [Role::Owner, Role::Editor, Role::Viewer];

    /// The role as the API and the database spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Owner => "owner",
            Role::Editor => "editor",
            Role::Viewer => "viewer",
        }
    }
}

impl FromStr for Role {
    type Err = UnknownVariant;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Role::ALL.into_iter().find(|role| role.as_str() == text).ok_or(UnknownVariant("role"))
    }
}

text_enum!(Role);

/// A project, as one of its members sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Queryable, ToSchema)]
#[schema(example = json!({
    "id": "0197c3a5-0d11-7b52-8a61-7d8f3f0f9a10", "name": "Website", "description": null, "personal": false,
    "role": "owner", "created_at": "2026-11-20T13:54:00Z", "updated_at": "2026-11-20T13:54:00Z"
}))]
pub struct Project {
    /// UUIDv7.
    pub id: Uuid,
    /// 1 to 100 characters.
    pub name: String,
    /// Up to 4 KiB of UTF-8.
    #[schema(required = true)]
    pub description: Option<String>,
    /// Whether it is the one that registering made for its owner. It cannot be deleted.
    pub personal: bool,
    /// What the caller may do in it.
    pub role: Role,
    /// RFC 3339 UTC.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// RFC 3339 UTC.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

/// Somebody who may see a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Queryable, ToSchema)]
#[schema(example = json!({
    "user_id": "0197c3a5-0c52-7d10-93f3-1a2b3c4d5e6f", "name": "Ann", "role": "editor", "created_at": "2026-11-20T13:54:00Z"
}))]
pub struct Member {
    /// Who.
    pub user_id: Uuid,
    /// The user's name.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Since when, RFC 3339 UTC.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

/// Why the store did not change a project or its members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProjectRefusal {
    /// The caller may not know that it exists, or it does not.
    NotFound,
    /// The caller sees it and may not do this.
    Forbidden,
    /// A personal project cannot be deleted.
    Personal,
    /// A project keeps at least one owner.
    LastOwner,
    /// A personal project keeps its user as an owner: that user's tasks without a project go there.
    AtHome,
    /// The user has as many projects, or the project as many members, as may be.
    TooMany,
}

/// Projects that one user may be a member of: a page of tasks visits each of them.
pub const PROJECTS_MAX: i64 = 500;

/// Members that one project may have.
pub const MEMBERS_MAX: i64 = 500;
