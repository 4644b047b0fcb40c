//! What makes a task the canary's: all of four things, so that nothing of anybody else's can look like it. It was made by the
//! canary's own account; it has the label; its title begins as ours do; and its id ends as ours do, which nobody can copy: ids
//! are unique, and those that the service gives are random.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use uuid::Uuid;

/// The label.
pub const LABEL: &str = "canary-probe";
/// How titles begin; the run's name follows.
pub const TITLE: &str = "canary probe ";
/// How ids end. 26 random bits and the millisecond keep them apart.
const ID_END: &[u8; 6] = b"canary";
/// What is older has been left by a run that died: none takes so long.
pub const LEFTOVER_AGE: SignedDuration = SignedDuration::from_mins(10);

/// A UUIDv7 that bears the mark.
pub fn new_id() -> Uuid {
    let mut bytes = Uuid::now_v7().into_bytes();
    // What stands behind the millisecond counts up and hardly changes; the last four bytes are random.
    bytes.copy_within(12.., 6);
    bytes[10..].copy_from_slice(ID_END);
    uuid::Builder::from_bytes(bytes)
        .with_version(uuid::Version::SortRand)
        .with_variant(uuid::Variant::RFC4122)
        .into_uuid()
}

/// Whether a task, as the API shows it, is the canary's. `account` is the id of the canary's user.
pub fn is_own(task: &Value, account: &str) -> bool {
    let id = task["id"].as_str().and_then(|id| Uuid::try_parse(id).ok());
    let labelled = task["labels"].as_array().is_some_and(|labels| labels.iter().any(|label| label == LABEL));
    id.is_some_and(|id| id.get_version_num() == 7 && id.as_bytes().ends_with(ID_END))
        && task["created_by"].as_str() == Some(account)
        && labelled
        && task["title"].as_str().is_some_and(|title| title.starts_with(TITLE))
}

/// Whether it is one that a run left behind; `now` is the service's clock, as `created_at` is.
pub fn is_leftover(task: &Value, account: &str, now: Timestamp) -> bool {
    let created = task["created_at"].as_str().and_then(|at| at.parse::<Timestamp>().ok());
    is_own(task, account) && created.is_some_and(|created| now.duration_since(created) > LEFTOVER_AGE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_part_of_the_mark_is_needed_and_so_is_its_age() {
        let now: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
        let own = json!({
            "id": new_id().to_string(), "created_by": "me", "labels": [LABEL], "title": format!("{TITLE}1"),
            "created_at": "2026-11-20T11:49:59Z",
        });
        assert!(is_leftover(&own, "me", now));
        for (field, value) in [
            ("id", json!(Uuid::now_v7().to_string())),
            ("id", json!(null)),
            ("created_by", json!("you")),
            ("labels", json!([])),
            ("title", json!("Canary probe 1")),
            ("created_at", json!("2026-11-20T11:50:01Z")),
            ("created_at", json!("yesterday")),
        ] {
            let mut other = own.clone();
            other[field] = value.clone();
            assert!(!is_leftover(&other, "me", now), "{field} {value}");
        }
    }

    #[test]
    fn ids_are_of_version_7_and_do_not_repeat() {
        let ids: std::collections::HashSet<Uuid> = (0..100).map(|_| new_id()).collect();
        assert_eq!(ids.len(), 100);
        assert!(ids.iter().all(|id| id.get_version_num() == 7 && id.get_variant() == uuid::Variant::RFC4122));
    }
}
