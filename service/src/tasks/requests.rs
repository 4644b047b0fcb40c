//! What creating and patching a task take, and the checks that turn them into valid values.

use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::Type;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};
use uuid::Uuid;

use super::model::{Change, NewTask, Priority, Status, TaskPatch};
use crate::http::merge_patch::{not_null, or_null};
use crate::http::validate::Checks;
use crate::store::types::Labels;

/// Characters of a title at most.
pub const TITLE_MAX: usize = 200;
/// Bytes of a description at most.
pub const DESCRIPTION_BYTES_MAX: usize = 64 * 1024;
/// Labels of a task at most.
pub const LABELS_MAX: usize = 20;
/// Characters of a label at most.
pub const LABEL_MAX: usize = 50;

/// A label, as the document describes it.
pub enum Label {}

impl PartialSchema for Label {
    fn schema() -> RefOr<Schema> {
        let label = ObjectBuilder::new().schema_type(Type::String).description(Some("1 to 50 characters"));
        let label = label.min_length(Some(1)).max_length(Some(LABEL_MAX)).pattern(Some(r"^[^\x00]*\S[^\x00]*$"));
        label.examples(["release"]).into()
    }
}

impl ToSchema for Label {}

/// What creating a task takes.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"title": "Ship the release", "priority": "high", "labels": ["release"], "due_at": "2026-12-01T17:00:00Z"}))]
pub struct CreateTaskRequest {
    /// 1 to 200 characters.
    #[schema(min_length = 1, max_length = 200, pattern = r"^[^\x00]*\S[^\x00]*$")]
    title: String,
    /// A project of the caller's; without one, the parent's, else the caller's personal project.
    #[schema(value_type = Option<Uuid>)]
    project_id: Option<String>,
    /// Up to 64 KiB of UTF-8.
    #[schema(max_length = 65536, pattern = r"^[^\x00]*$")]
    description: Option<String>,
    /// `todo` if left out.
    #[schema(value_type = Option<Status>)]
    status: Option<String>,
    /// `medium` if left out.
    #[schema(value_type = Option<Priority>)]
    priority: Option<String>,
    /// Up to 20 different ones, each of 1 to 50 characters.
    #[schema(value_type = Option<BTreeSet<Label>>, max_items = 20)]
    labels: Option<Vec<String>>,
    /// A member of the project.
    #[schema(value_type = Option<Uuid>)]
    assignee_id: Option<String>,
    /// A task of the same project; subtasks go at most 5 deep.
    #[schema(value_type = Option<Uuid>)]
    parent_id: Option<String>,
    /// RFC 3339, from 1970 to 2999.
    #[schema(format = DateTime, pattern = r"^(19[7-9]|2\d\d)\d-")]
    due_at: Option<String>,
    /// A UUIDv7 of the client's own: creating the same task twice makes it once.
    #[schema(value_type = Option<Uuid>, pattern = r"^.{14}7")]
    id: Option<String>,
}

/// A merge patch (RFC 7396) of a task: fields left out stay, null takes a value away.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"status": "done", "due_at": null}))]
pub struct PatchTaskRequest {
    /// 1 to 200 characters.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, min_length = 1, max_length = 200, pattern = r"^[^\x00]*\S[^\x00]*$")]
    title: Option<String>,
    /// Up to 64 KiB of UTF-8.
    #[serde(default, deserialize_with = "or_null", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, max_length = 65536, pattern = r"^[^\x00]*$")]
    description: Option<Option<String>>,
    /// Where it stands.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Status, required = false)]
    status: Option<String>,
    /// How urgent it is.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Priority, required = false)]
    priority: Option<String>,
    /// All labels; up to 20 different ones, each of 1 to 50 characters.
    #[serde(default, deserialize_with = "not_null", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = BTreeSet<Label>, required = false, max_items = 20)]
    labels: Option<Vec<String>>,
    /// A member of the project.
    #[serde(default, deserialize_with = "or_null", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Uuid>)]
    assignee_id: Option<Option<String>>,
    /// A task of the same project; subtasks go at most 5 deep.
    #[serde(default, deserialize_with = "or_null", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Uuid>)]
    parent_id: Option<Option<String>>,
    /// RFC 3339, from 1970 to 2999.
    #[serde(default, deserialize_with = "or_null", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, pattern = r"^(19[7-9]|2\d\d)\d-")]
    due_at: Option<Option<String>>,
}

const STATUSES: [&str; 5] = ["todo", "in_progress", "blocked", "done", "cancelled"];
const PRIORITIES: [&str; 4] = ["low", "medium", "high", "urgent"];

fn labels(checks: &mut Checks, labels: Vec<String>) -> Labels {
    if labels.len() > LABELS_MAX {
        checks.refuse("labels", format!("takes up to {LABELS_MAX} labels"));
        return Labels::default();
    }
    for (at, label) in labels.iter().enumerate() {
        let field = format!("labels/{at}");
        checks.text(&field, label, 1, LABEL_MAX);
        if labels[..at].contains(label) {
            checks.refuse(&field, "takes a label that is not in the list before it");
        }
    }
    Labels(labels)
}

impl CreateTaskRequest {
    /// The valid task, or what is wrong noted in `checks`. `id` is for a request without one.
    pub fn check(self, checks: &mut Checks, id: Uuid) -> NewTask {
        checks.text("title", &self.title, 1, TITLE_MAX);
        if let Some(description) = &self.description {
            checks.long_text("description", description, DESCRIPTION_BYTES_MAX);
        }
        let given_id = self.id.and_then(|text| checks.id("id", &text));
        if given_id.is_some_and(|id| id.get_version_num() != 7) {
            checks.refuse("id", "takes a UUID of version 7");
        }
        NewTask {
            id: given_id.unwrap_or(id),
            project_id: self.project_id.and_then(|text| checks.id("project_id", &text)),
            parent_id: self.parent_id.and_then(|text| checks.id("parent_id", &text)),
            title: self.title,
            description: self.description,
            status: self.status.and_then(|text| checks.word("status", &text, &STATUSES)).unwrap_or_default(),
            priority: self.priority.and_then(|text| checks.word("priority", &text, &PRIORITIES)).unwrap_or_default(),
            labels: self.labels.map(|given| labels(checks, given)).unwrap_or_default(),
            assignee_id: self.assignee_id.and_then(|text| checks.id("assignee_id", &text)),
            due_at: self.due_at.and_then(|text| checks.instant("due_at", &text)),
        }
    }
}

impl PatchTaskRequest {
    /// The valid patch, or what is wrong noted in `checks`.
    pub fn check(self, checks: &mut Checks) -> TaskPatch {
        if let Some(title) = &self.title {
            checks.text("title", title, 1, TITLE_MAX);
        }
        if let Some(Some(description)) = &self.description {
            checks.long_text("description", description, DESCRIPTION_BYTES_MAX);
        }
        /// A nullable field: what was refused counts as null here, the checks end the request anyway.
        fn maybe<T>(given: Option<Option<String>>, read: impl FnOnce(String) -> Option<T>) -> Change<Option<T>> {
            given.map_or(Change::Keep, |value| Change::Set(value.and_then(read)))
        }
        fn set<T>(value: Option<T>) -> Change<T> {
            value.map_or(Change::Keep, Change::Set)
        }
        TaskPatch {
            title: set(self.title),
            description: set(self.description),
            status: set(self.status.and_then(|text| checks.word("status", &text, &STATUSES))),
            priority: set(self.priority.and_then(|text| checks.word("priority", &text, &PRIORITIES))),
            labels: set(self.labels.map(|given| labels(checks, given))),
            assignee_id: maybe(self.assignee_id, |text| checks.id("assignee_id", &text)),
            parent_id: maybe(self.parent_id, |text| checks.id("parent_id", &text)),
            due_at: maybe(self.due_at, |text| checks.instant("due_at", &text)),
        }
    }
}
