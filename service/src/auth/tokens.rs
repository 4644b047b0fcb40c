//! Access tokens (JWT, RFC 7519, HS256, typed `at+jwt` as RFC 9068 has it) and refresh tokens (opaque, one per generation of a
//! session).
//!
//! A refresh token is its session's id and generation under a message authentication code: nothing that would let anybody in
//! is stored, a forged one never reaches the database, and the same generation always yields the same token, so that a lost
//! response can be answered again.

use std::sync::atomic::{AtomicU64, Ordering};

use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::keys::{Keys, derive, sha256};
use crate::config::Secret;

/// How long an access token is good for.
pub const ACCESS_LIFETIME: SignedDuration = SignedDuration::from_mins(15);
/// How long a session can be refreshed.
pub const SESSION_LIFETIME: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How long a verified token is believed before its session is looked up again: what a logout on another instance takes to
/// be noticed here.
pub const RECHECK: SignedDuration = SignedDuration::from_secs(30);
/// Verified tokens that are remembered: at 200 bytes each, 2 MB.
const CACHED_MAX: usize = 10_000;

const ISSUER: &str = "task-api";
const TYPE: &str = "at+jwt";

/// Who sends a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Principal {
    /// The user.
    pub user_id: Uuid,
    /// The session that the token belongs to.
    pub session_id: Uuid,
    /// Until when the token is good.
    pub expires_at: Timestamp,
    /// Whether requests with this token may say that they are synthetic.
    pub may_claim_synthetic: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: Uuid,
    sid: Uuid,
    iat: i64,
    exp: i64,
    /// The right to send `x-synthetic`. Tokens of users do not mention it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    syn: bool,
}

/// Makes and checks tokens.
pub struct Tokens {
    sign: EncodingKey,
    verify: Vec<DecodingKey>,
    refresh: Keys,
    /// Verified access tokens by their hash, and when their session was last seen alive.
    verified: Cache<[u8; 32], (Principal, Timestamp)>,
    /// How often a session was forgotten: tells whether one may have ended while it was looked up.
    forgotten: AtomicU64,
}

/// The moment at which a session's look-up began, among the sessions that end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look(u64);

impl Tokens {
    /// Takes the current secret and the one before it.
    pub fn new(secret: &Secret, previous: Option<&Secret>) -> Tokens {
        let access = |secret| derive(secret, "access token");
        let verify = [Some(secret), previous].into_iter().flatten();
        Tokens {
            sign: EncodingKey::from_secret(&access(secret)),
            verify: verify.map(|secret| DecodingKey::from_secret(&access(secret))).collect(),
            refresh: Keys::new(secret, previous, "refresh token"),
            verified: Cache::new(CACHED_MAX),
            forgotten: AtomicU64::new(0),
        }
    }

    /// The access token of a session, issued at `now`, with or without the right to claim that a request is synthetic.
    pub fn access(
        &self,
        user_id: Uuid,
        session_id: Uuid,
        now: Timestamp,
        may_claim_synthetic: bool,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let header = Header { typ: Some(TYPE.into()), ..Header::new(Algorithm::HS256) };
        let iat = now.as_second();
        let exp = iat + ACCESS_LIFETIME.as_secs();
        let claims = Claims { iss: ISSUER.into(), sub: user_id, sid: session_id, iat, exp, syn: may_claim_synthetic };
        jsonwebtoken::encode(&header, &claims, &self.sign)
    }

    /// The principal of a token whose signature and claims hold at `now`. Says nothing about its session.
    pub fn verify(&self, token: &str, now: Timestamp) -> Option<Principal> {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        validation.validate_exp = false; // against our own clock, below
        validation.validate_aud = false;
        let decoded =
            self.verify.iter().find_map(|key| jsonwebtoken::decode::<Claims>(token, key, &validation).ok())?;
        if decoded.header.typ.as_deref() != Some(TYPE) {
            return None;
        }
        let Claims { sub: user_id, sid: session_id, exp, syn: may_claim_synthetic, .. } = decoded.claims;
        let expires_at = Timestamp::from_second(exp).ok()?;
        let principal = Principal { user_id, session_id, expires_at, may_claim_synthetic };
        (expires_at > now).then_some(principal)
    }

    /// The principal of a token that was verified before, when its session needs no new look.
    pub fn remembered(&self, hash: &[u8; 32], now: Timestamp) -> Option<Principal> {
        let (principal, seen_at) = self.verified.get(hash)?;
        (principal.expires_at > now && now.duration_since(seen_at) < RECHECK).then_some(principal)
    }

    /// To be called before a session is looked up whose token may then be remembered.
    pub fn begin_look(&self) -> Look {
        Look(self.forgotten.load(Ordering::SeqCst))
    }

    /// Remembers a verified token whose session was alive at `now`, unless a session ended since the look began: it may have
    /// been this one, and then nobody would forget the token again.
    pub fn remember(&self, hash: [u8; 32], principal: Principal, now: Timestamp, look: Look) {
        self.verified.insert(hash, (principal, now));
        if self.begin_look() != look {
            self.verified.remove(&hash);
        }
    }

    /// Forgets every token of a session, once the database says that it ended.
    pub fn forget(&self, session_id: Uuid) {
        self.forgotten.fetch_add(1, Ordering::SeqCst); // first: what is remembered from here on is looked at again
        self.verified.retain(|_, (principal, _)| principal.session_id != session_id);
    }

    /// The refresh token of a session's generation.
    pub fn refresh(&self, session_id: Uuid, generation: i32) -> String {
        let mut payload = [0; 20];
        payload[..16].copy_from_slice(session_id.as_bytes());
        payload[16..].copy_from_slice(&generation.to_be_bytes());
        self.refresh.seal(&payload)
    }

    /// The session and generation of a refresh token that we made.
    pub fn open_refresh(&self, token: &str) -> Option<(Uuid, i32)> {
        let payload: [u8; 20] = self.refresh.open(token)?.try_into().ok()?;
        let (session, generation) = payload.split_at(16);
        Some((Uuid::from_slice(session).ok()?, i32::from_be_bytes(generation.try_into().ok()?)))
    }
}

/// The key under which a token is remembered.
pub fn hash(token: &str) -> [u8; 32] {
    sha256(token.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

    fn tokens() -> Tokens {
        Tokens::new(&Secret::new("a secret"), None)
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn an_access_token_is_good_until_it_expires() {
        let (tokens, user, session) = (tokens(), Uuid::now_v7(), Uuid::now_v7());
        let token = tokens.access(user, session, at(1000), false).unwrap();
        let principal = tokens.verify(&token, at(1000)).unwrap();
        assert_eq!((principal.user_id, principal.session_id), (user, session));
        assert!(tokens.verify(&token, at(1000 + 15 * 60 - 1)).is_some());
        assert_eq!(tokens.verify(&token, at(1000 + 15 * 60)), None);
    }

    #[test]
    fn only_a_token_that_was_given_the_right_claims_to_be_synthetic_and_the_others_do_not_mention_it() {
        let tokens = tokens();
        for given in [false, true] {
            let token = tokens.access(Uuid::nil(), Uuid::nil(), at(1000), given).unwrap();
            assert_eq!(tokens.verify(&token, at(1000)).map(|principal| principal.may_claim_synthetic), Some(given));
            let claims = BASE64.decode(token.split('.').nth(1).unwrap()).unwrap();
            assert_eq!(String::from_utf8(claims).unwrap().contains("syn"), given);
        }
    }

    #[test]
    fn forged_access_tokens_are_refused() {
        let tokens = tokens();
        let good = tokens.access(Uuid::now_v7(), Uuid::now_v7(), at(1000), false).unwrap();
        let parts: Vec<&str> = good.split('.').collect();
        let none = BASE64.encode(r#"{"alg":"none","typ":"at+jwt"}"#);
        let hs512 = BASE64.encode(r#"{"alg":"HS512","typ":"at+jwt"}"#);
        let id_token = {
            let header = Header { typ: Some("JWT".into()), ..Header::new(Algorithm::HS256) };
            let claims =
                Claims { iss: ISSUER.into(), sub: Uuid::nil(), sid: Uuid::nil(), iat: 1000, exp: 9000, syn: false };
            jsonwebtoken::encode(&header, &claims, &tokens.sign).unwrap()
        };
        let others = Tokens::new(&Secret::new("another"), None);
        let foreign = others.access(Uuid::nil(), Uuid::nil(), at(1000), true).unwrap();
        let forged = [
            String::new(),
            "a.b.c".into(),
            format!("{none}.{}.", parts[1]),
            format!("{none}.{}.{}", parts[1], parts[2]),
            format!("{hs512}.{}.{}", parts[1], parts[2]),
            format!("{}.{}.", parts[0], parts[1]),
            format!("{}.{}.{}", parts[0], BASE64.encode("{}"), parts[2]),
            good[..good.len() - 1].to_owned(),
            format!("{good}.{}", parts[2]),
            id_token,
            foreign,
            tokens.refresh(Uuid::nil(), 0),
        ];
        for token in forged {
            assert_eq!(tokens.verify(&token, at(1000)), None, "{token}");
        }
    }

    #[test]
    fn a_refresh_token_names_its_session_and_generation_and_is_always_the_same() {
        let (tokens, session) = (tokens(), Uuid::now_v7());
        let token = tokens.refresh(session, 7);
        assert_eq!(tokens.open_refresh(&token), Some((session, 7)));
        assert_eq!(token, tokens.refresh(session, 7));
        assert_ne!(token, tokens.refresh(session, 8));
        assert_eq!(tokens.open_refresh("AAAA"), None);
        let access = tokens.access(session, session, at(1000), false).unwrap();
        assert_eq!(tokens.open_refresh(&access), None);
    }

    #[test]
    fn a_remembered_token_is_looked_at_again_and_forgotten_with_its_session() {
        let (tokens, session) = (tokens(), Uuid::now_v7());
        let token = tokens.access(Uuid::now_v7(), session, at(1000), true).unwrap();
        let principal = tokens.verify(&token, at(1000)).unwrap();
        tokens.remember(hash(&token), principal, at(1000), tokens.begin_look());
        assert_eq!(tokens.remembered(&hash(&token), at(1029)), Some(principal));
        assert_eq!(tokens.remembered(&hash(&token), at(1030)), None);
        let look = tokens.begin_look();
        tokens.forget(session);
        assert_eq!(tokens.remembered(&hash(&token), at(1001)), None);
        tokens.remember(hash(&token), principal, at(1000), look);
        assert_eq!(tokens.remembered(&hash(&token), at(1001)), None, "it was looked up before it ended");
    }
}
