//! The keys of the service: derived from `JWT_SECRET`, one for each purpose, so that no token passes for another kind.

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

use crate::config::Secret;

/// Length of a message authentication code, in bytes.
pub const TAG_BYTES: usize = 32;

/// A signing key for one purpose, and the one before it, which is still accepted.
#[derive(Clone)]
pub struct Keys {
    current: hmac::Key,
    previous: Option<hmac::Key>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys")
    }
}

/// The key of a purpose: HMAC-SHA256 of the purpose's name under the secret.
pub fn derive(secret: &Secret, purpose: &str) -> [u8; 32] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes());
    let mut bytes = [0; 32];
    bytes.copy_from_slice(hmac::sign(&key, purpose.as_bytes()).as_ref());
    bytes
}

impl Keys {
    /// The keys of `purpose`.
    pub fn new(secret: &Secret, previous: Option<&Secret>, purpose: &str) -> Keys {
        let key = |secret| hmac::Key::new(hmac::HMAC_SHA256, &derive(secret, purpose));
        Keys { current: key(secret), previous: previous.map(key) }
    }

    /// `payload` and its code, in base64url.
    pub fn seal(&self, payload: &[u8]) -> String {
        let mut bytes = payload.to_vec();
        bytes.extend_from_slice(hmac::sign(&self.current, payload).as_ref());
        BASE64.encode(bytes)
    }

    /// The payload of a text that [`Keys::seal`] made; `None` for anything else.
    pub fn open(&self, text: &str) -> Option<Vec<u8>> {
        if text.len() > SEALED_MAX {
            return None;
        }
        let mut bytes = BASE64.decode(text).ok()?;
        let tag = bytes.split_off(bytes.len().checked_sub(TAG_BYTES)?);
        let accepts = |key: &hmac::Key| hmac::verify(key, &bytes, &tag).is_ok();
        (accepts(&self.current) || self.previous.as_ref().is_some_and(accepts)).then_some(bytes)
    }
}

/// Longest sealed text that is looked at: the longest that is made has under 150 characters.
const SEALED_MAX: usize = 256;

/// SHA-256 of some bytes.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

/// SHA-256 of some bytes, in base64url.
pub fn fingerprint(bytes: &[u8]) -> String {
    BASE64.encode(sha256(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_sealed_payload_opens_and_no_altered_one_does(payload: Vec<u8>, flip in 0usize..64) {
            let payload = &payload[..payload.len().min(100)];
            let keys = Keys::new(&Secret::new("one"), None, "test");
            let sealed = keys.seal(payload);
            prop_assert_eq!(keys.open(&sealed), Some(payload.to_vec()));
            let mut altered: Vec<char> = sealed.chars().collect();
            let at = flip % (altered.len() - 1); // the last character has bits that mean nothing
            altered[at] = if altered[at] == 'A' { 'B' } else { 'A' };
            prop_assert_eq!(keys.open(&altered.into_iter().collect::<String>()), None);
        }

        #[test]
        fn no_text_makes_opening_panic(text: String) {
            prop_assert_eq!(Keys::new(&Secret::new("one"), None, "test").open(&text), None);
        }
    }

    #[test]
    fn what_the_previous_key_sealed_still_opens_and_another_purpose_does_not() {
        let (old, new) = (Secret::new("old"), Secret::new("new"));
        let sealed = Keys::new(&old, None, "cursor").seal(b"x");
        assert_eq!(Keys::new(&new, Some(&old), "cursor").open(&sealed).as_deref(), Some(&b"x"[..]));
        assert_eq!(Keys::new(&new, None, "cursor").open(&sealed), None);
        assert_eq!(Keys::new(&old, None, "refresh").open(&sealed), None);
    }
}
