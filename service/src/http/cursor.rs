//! Cursors: where the next page starts. Opaque and signed; bound to the caller, the list, its filter and its order, so that
//! one that was altered or brought from elsewhere is refused.

use uuid::Uuid;

use super::problem::{Kind, Problem};
use crate::auth::keys::{Keys, sha256};
use crate::store::tasks::Key;

/// Makes and reads cursors.
#[derive(Debug, Clone)]
pub struct Cursors(pub Keys);

/// What a cursor belongs to: a hash of the caller, the route and everything of the query but the cursor and the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope([u8; 8]);

impl Scope {
    /// The scope of a caller's list; `query` is its canonical text.
    pub fn new(user_id: Uuid, list: &str, query: &str) -> Scope {
        let hash = sha256(format!("{user_id} {list} {query}").as_bytes());
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&hash[..8]);
        Scope(bytes)
    }
}

/// Scope, two numbers, an id.
const PAYLOAD_BYTES: usize = 8 + 8 + 8 + 16;

impl Cursors {
    /// The cursor behind a row.
    pub fn seal(&self, scope: Scope, key: Key) -> String {
        let mut payload = [0; PAYLOAD_BYTES];
        payload[..8].copy_from_slice(&scope.0);
        payload[8..16].copy_from_slice(&key.first.to_be_bytes());
        payload[16..24].copy_from_slice(&key.second.to_be_bytes());
        payload[24..].copy_from_slice(key.id.as_bytes());
        self.0.seal(&payload)
    }

    /// The row behind which a page starts. 400 for a cursor that is not of this list.
    pub fn open(&self, scope: Scope, cursor: &str) -> Result<Key, Problem> {
        self.try_open(scope, cursor).ok_or_else(|| {
            let detail = "take next_cursor from this list's last answer, with the same filter and sort";
            Problem::new(Kind::InvalidCursor, detail)
        })
    }

    fn try_open(&self, scope: Scope, cursor: &str) -> Option<Key> {
        let payload: [u8; PAYLOAD_BYTES] = self.0.open(cursor)?.try_into().ok()?;
        let number = |at: usize| payload[at..at + 8].try_into().ok().map(i64::from_be_bytes);
        let key = Key { first: number(8)?, second: number(16)?, id: Uuid::from_slice(&payload[24..]).ok()? };
        (payload[..8] == scope.0).then_some(key)
    }

    /// The cursor of a list that is ordered by id alone.
    pub fn seal_id(&self, scope: Scope, id: Uuid) -> String {
        self.seal(scope, Key { first: 0, second: 0, id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_cursor_opens_in_its_own_scope_alone(first: i64, second: i64, id: u128, other in "[a-z]{1,8}") {
            let cursors = Cursors(Keys::new(&Secret::new("s"), None, "cursor"));
            let key = Key { first, second, id: Uuid::from_u128(id) };
            let scope = Scope::new(Uuid::nil(), "tasks", "sort=-created_at");
            let cursor = cursors.seal(scope, key);
            prop_assert_eq!(cursors.open(scope, &cursor).unwrap(), key);
            prop_assert!(cursors.open(Scope::new(Uuid::nil(), "tasks", &other), &cursor).is_err());
            prop_assert!(cursors.open(Scope::new(Uuid::max(), "tasks", "sort=-created_at"), &cursor).is_err());
        }

        #[test]
        fn no_text_passes_for_a_cursor(text: String) {
            let cursors = Cursors(Keys::new(&Secret::new("s"), None, "cursor"));
            prop_assert!(cursors.open(Scope::new(Uuid::nil(), "tasks", ""), &text).is_err());
        }
    }
}
