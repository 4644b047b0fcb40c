//! Who may say of a request that no user is behind it: the canary and the load test.
//!
//! What they cause would spoil the figures of users, and what users suffer must not be hidden among theirs. So
//! `x-synthetic` is believed only of those who know `SYNTHETIC_SECRET`: it is sent when they come in, and their access
//! token carries the right from there on. Anything else is a user's request, without a word: a claim that is not
//! believed is no error, and changes nothing about the answer.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use http::{HeaderMap, HeaderName};
use telemetry::metrics::Synthetic;

use super::keys::sha256;
use super::tokens::hash;
use crate::app::AppState;
use crate::config::Secret;
use crate::http::extract::bearer;

/// Says whose request it is: `canary` or `load`.
pub const SYNTHETIC: HeaderName = HeaderName::from_static("x-synthetic");
/// Proves, on the way in, the right to say so.
pub const SYNTHETIC_SECRET: HeaderName = HeaderName::from_static("x-synthetic-secret");

/// The routes that give out access tokens: there is no token yet, and the secret itself is looked at.
const ENTRANCES: [&str; 3] = ["/api/v1/auth/register", "/api/v1/auth/login", "/api/v1/auth/refresh"];

/// What the secret is compared with. Its hash alone is kept.
pub struct SyntheticRight([u8; 32]);

impl SyntheticRight {
    /// Of those who know this secret.
    pub fn new(secret: &Secret) -> Self {
        Self(sha256(secret.expose().as_bytes()))
    }

    /// Whether a request carries the secret. Hashes are compared, in constant time: neither the length nor the first
    /// bytes of the secret can be felt out.
    fn is_proven(&self, headers: &HeaderMap) -> bool {
        let sent = headers.get(SYNTHETIC_SECRET);
        sent.is_some_and(|sent| verify_slices_are_equal(&sha256(sent.as_bytes()), &self.0).is_ok())
    }
}

impl AppState {
    /// Whether a token that this request gets may claim to be synthetic.
    pub fn may_claim_synthetic(&self, headers: &HeaderMap) -> bool {
        self.synthetic.as_ref().is_some_and(|right| right.is_proven(headers))
    }

    /// Whose request this is, as far as it can be believed. Looked at on its arrival, so that it is known of one that is
    /// shed or times out too. A token counts by its signature alone: that its session has ended shows in a 401, which is
    /// a user's in any case.
    pub fn synthetic(&self, headers: &HeaderMap, template: Option<&str>) -> Synthetic {
        let Some(right) = &self.synthetic else { return Synthetic::None };
        let claimed = match headers.get(SYNTHETIC).map(|value| value.as_bytes()) {
            Some(b"canary") => Synthetic::Canary,
            Some(b"load") => Synthetic::Load,
            _ => return Synthetic::None,
        };
        let is_entitled = if template.is_some_and(|template| ENTRANCES.contains(&template)) {
            right.is_proven(headers)
        } else {
            bearer(headers).is_some_and(|token| {
                let now = self.clock.now();
                let principal = self.tokens.remembered(&hash(token), now).or_else(|| self.tokens.verify(token, now));
                principal.is_some_and(|principal| principal.may_claim_synthetic)
            })
        };
        if is_entitled { claimed } else { Synthetic::None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn only_the_whole_secret_proves_the_right() {
        let right = SyntheticRight::new(&Secret::new("a secret of thirty-two bytes, or more"));
        let sent = |value: &'static str| HeaderMap::from_iter([(SYNTHETIC_SECRET, HeaderValue::from_static(value))]);
        assert!(right.is_proven(&sent("a secret of thirty-two bytes, or more")));
        for wrong in ["", "a", "a secret of thirty-two bytes, or mor", "a secret of thirty-two bytes, or more!"] {
            assert!(!right.is_proven(&sent(wrong)), "{wrong}");
        }
        assert!(!right.is_proven(&HeaderMap::new()));
    }

    #[test]
    fn the_entrances_are_routes_of_the_table() {
        let templates: Vec<_> = crate::http::routes::ROUTES.iter().map(|route| route.route).collect();
        assert!(ENTRANCES.iter().all(|entrance| templates.contains(entrance)));
    }
}
