//! Sessions: tokens that rotate, expire, are reused, end with a logout, are made up, or come from another key.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use service::clock::Clock;
use service::config::Secret;

use crate::harness::client::{Api, PASSWORD};
use crate::harness::reply::Reply;
use crate::harness::{Backend, TestApp, on_both_backends};

const SECOND: Duration = Duration::from_secs(1);
/// What the service promises: an ended session is noticed everywhere within this time.
const RECHECK: Duration = Duration::from_secs(30);
const ACCESS_LIFETIME: Duration = Duration::from_secs(15 * 60);

async fn login(api: &Api, email: &str, password: &str) -> Reply {
    api.post("auth/login", json!({"email": email, "password": password})).await
}

async fn refresh(api: &Api, token: &str) -> Reply {
    api.post("auth/refresh", json!({"refresh_token": token})).await
}

fn manual() -> Clock {
    Clock::manual(jiff::Timestamp::now())
}

/// A second instance beside `app`: same database, same clock.
async fn beside(app: &TestApp, backend: Backend, clock: &Clock) -> TestApp {
    TestApp::builder(backend).database_url(app.storage.url()).clock(clock.clone()).spawn().await
}

on_both_backends! {
    async fn the_previous_refresh_token_gets_the_same_pair_for_ten_seconds(backend: Backend) {
        let clock = manual();
        let app = TestApp::builder(backend).clock(clock.clone()).spawn().await;
        let ann = app.register("ann").await;
        clock.advance(SECOND * 60);
        let first = refresh(&app.api, &ann.refresh_token).await.expect(200);
        let members: BTreeSet<_> = first.body.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(members, BTreeSet::from(["access_token", "refresh_token", "token_type", "expires_in"]));
        assert_ne!(first.text_at("/refresh_token"), ann.refresh_token);
        assert_ne!(first.text_at("/access_token"), ann.access_token);

        clock.advance(SECOND * 9);
        let again = refresh(&app.api, &ann.refresh_token).await.expect(200);
        assert_eq!(again.body, first.body);
        let other = beside(&app, backend, &clock).await;
        assert_eq!(refresh(&other.api, &ann.refresh_token).await.expect(200).body, first.body);
        app.api.with_token(&first.text_at("/access_token")).get("me").await.expect(200);
        ann.get("me").await.expect(200);

        let second = refresh(&app.api, &first.text_at("/refresh_token")).await.expect(200);
        assert_ne!(second.text_at("/refresh_token"), first.text_at("/refresh_token"));
        app.api.with_token(&second.text_at("/access_token")).get("me").await.expect(200);
    }

    async fn a_late_reuse_ends_the_whole_family(backend: Backend) {
        let clock = manual();
        let app = TestApp::builder(backend).clock(clock.clone()).spawn().await;
        let other = beside(&app, backend, &clock).await;
        let ann = app.register("ann").await;
        let elsewhere = login(&app.api, &ann.email, PASSWORD).await.expect(200);
        let newest = refresh(&app.api, &ann.refresh_token).await.expect(200);
        clock.advance(SECOND * 11);
        for instance in [&app, &other] {
            for token in [&ann.access_token, &newest.text_at("/access_token")] {
                instance.api.with_token(token).get("me").await.expect(200);
            }
        }

        refresh(&app.api, &ann.refresh_token).await.problem(401, "invalid-refresh-token");
        for token in [&ann.access_token, &newest.text_at("/access_token")] {
            app.api.with_token(token).get("me").await.problem(401, "unauthenticated");
        }
        for instance in [&app, &other] {
            for token in [&newest.text_at("/refresh_token"), &ann.refresh_token] {
                refresh(&instance.api, token).await.problem(401, "invalid-refresh-token");
            }
        }
        clock.advance(RECHECK);
        for token in [&ann.access_token, &newest.text_at("/access_token")] {
            other.api.with_token(token).get("me").await.problem(401, "unauthenticated");
        }
        // The thief's family is dead; the user's other login is not.
        app.api.with_token(&elsewhere.text_at("/access_token")).get("me").await.expect(200);
        refresh(&app.api, &elsewhere.text_at("/refresh_token")).await.expect(200);
    }

    async fn a_token_older_than_the_previous_one_ends_the_family_at_once(app: TestApp) {
        let ann = app.register("ann").await;
        let first = refresh(&app.api, &ann.refresh_token).await.expect(200);
        let second = refresh(&app.api, &first.text_at("/refresh_token")).await.expect(200);
        refresh(&app.api, &ann.refresh_token).await.problem(401, "invalid-refresh-token");
        refresh(&app.api, &second.text_at("/refresh_token")).await.problem(401, "invalid-refresh-token");
        app.api.with_token(&second.text_at("/access_token")).get("me").await.problem(401, "unauthenticated");
    }

    async fn twenty_refreshes_at_once_get_one_pair(backend: Backend) {
        let clock = manual();
        let app = TestApp::builder(backend).clock(clock.clone()).spawn().await;
        let other = beside(&app, backend, &clock).await;
        let ann = app.register("ann").await;
        let instances = [&app, &other];
        let replies = join_all((0..20).map(|at| refresh(&instances[at % 2].api, &ann.refresh_token))).await;
        let pairs: BTreeSet<String> = replies.into_iter().map(|reply| reply.expect(200).body.to_string()).collect();
        assert_eq!(pairs.len(), 1, "{pairs:#?}");
        let pair: Value = pairs.first().and_then(|text| serde_json::from_str(text).ok()).expect("a pair");
        refresh(&app.api, pair["refresh_token"].as_str().expect("a token")).await.expect(200);
    }

    async fn a_refresh_token_that_was_made_up_is_refused(app: TestApp) {
        let ann = app.register("ann").await;
        let mut flipped = ann.refresh_token.clone().into_bytes();
        flipped[25] = if flipped[25] == b'A' { b'B' } else { b'A' }; // within the generation
        let flipped = String::from_utf8(flipped).expect("base64");
        let long = "A".repeat(100_000);
        for token in ["", "nonsense", "=", "\0", "ⅷ", &flipped, &ann.access_token, &long[..70], &long] {
            refresh(&app.api, token).await.problem(401, "invalid-refresh-token");
            app.api.post("auth/logout", json!({"refresh_token": token})).await.problem(401, "invalid-refresh-token");
        }
        app.api.with_token(&ann.refresh_token).get("me").await.problem(401, "unauthenticated");
        app.api.post("auth/refresh", json!({})).await.problem(422, "");
        let unknown = json!({"refresh_token": ann.refresh_token, "scope": "all"});
        app.api.post("auth/refresh", unknown).await.problem(422, "").pointer("/scope");
        refresh(&app.api, &ann.refresh_token).await.expect(200);
    }

    async fn a_logout_ends_the_session_at_once_and_everywhere_soon(backend: Backend) {
        let clock = manual();
        let app = TestApp::builder(backend).clock(clock.clone()).spawn().await;
        let other = beside(&app, backend, &clock).await;
        let ann = app.register("ann").await;
        let second = login(&app.api, &ann.email, PASSWORD).await.expect(200);
        let (access, refreshing) = (second.text_at("/access_token"), second.text_at("/refresh_token"));
        for instance in [&app, &other] {
            instance.api.with_token(&ann.access_token).get("me").await.expect(200);
            instance.api.with_token(&access).get("me").await.expect(200);
        }

        // By the access token.
        let reply = ann.request(Method::POST, "auth/logout").await.expect(204);
        assert_eq!(reply.text, "");
        ann.get("me").await.problem(401, "unauthenticated");
        refresh(&app.api, &ann.refresh_token).await.problem(401, "invalid-refresh-token");
        ann.request(Method::POST, "auth/logout").await.problem(401, "unauthenticated");
        app.api.with_token(&access).get("me").await.expect(200);

        // By the refresh token, which ends that session and not the caller's own.
        let bob = app.register("bob").await;
        bob.post("auth/logout", json!({"refresh_token": refreshing})).await.expect(204);
        bob.get("me").await.expect(200);
        app.api.with_token(&access).get("me").await.problem(401, "unauthenticated");
        refresh(&app.api, &refreshing).await.problem(401, "invalid-refresh-token");
        app.api.post("auth/logout", json!({"refresh_token": refreshing})).await.expect(204);

        clock.advance(RECHECK);
        other.api.with_token(&ann.access_token).get("me").await.problem(401, "unauthenticated");
        other.api.with_token(&access).get("me").await.problem(401, "unauthenticated");
        bob.get("me").await.expect(200);
    }

    /// A request that had seen the session alive must not remember it so after the logout.
    async fn no_request_under_way_revives_a_session_that_ends(app: TestApp) {
        let ann = app.register("ann").await;
        for round in 0..60 {
            let session = login(&app.api, &ann.email, PASSWORD).await.expect(200);
            let api = app.api.with_token(&session.text_at("/access_token"));
            let asking = join_all((0..6).map(|_| async { api.get("me").await.status }));
            let leaving = async { api.request(Method::POST, "auth/logout").await.status };
            let (asked, left) = tokio::join!(asking, leaving);
            assert_eq!(left, 204);
            assert!(asked.iter().all(|status| [200, 401].contains(status)), "{asked:?}");
            let after = api.get("me").await;
            assert_eq!(after.status, 401, "round {round}: the token outlived its session\n{after}");
        }
    }

    async fn tokens_expire(backend: Backend) {
        let clock = manual();
        let app = TestApp::builder(backend).clock(clock.clone()).spawn().await;
        let ann = app.register("ann").await;
        clock.advance(ACCESS_LIFETIME - SECOND);
        ann.get("me").await.expect(200);
        clock.advance(SECOND);
        let reply = ann.get("me").await.problem(401, "unauthenticated");
        assert!(reply.header("www-authenticate").starts_with("Bearer"), "{reply}");

        // The refresh token lives on, but not for ever.
        let pair = refresh(&app.api, &ann.refresh_token).await.expect(200);
        let ann = app.api.with_token(&pair.text_at("/access_token"));
        ann.get("me").await.expect(200);
        clock.advance(SECOND * 30 * 24 * 3600);
        refresh(&app.api, &pair.text_at("/refresh_token")).await.problem(401, "invalid-refresh-token");
        ann.get("me").await.problem(401, "unauthenticated");
    }

    async fn no_made_up_authorization_lets_in_or_breaks_anything(app: TestApp) {
        let (ann, bob) = (app.register("ann").await, app.register("bob").await);
        let token = &ann.access_token;
        let parts: Vec<&str> = token.split('.').collect();
        let encoded = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let payload = String::from_utf8(URL_SAFE_NO_PAD.decode(parts[1]).expect("base64")).expect("text");
        let for_bob = encoded(&payload.replace(&ann.id, &bob.id));
        let longer = encoded(&payload.replace("\"exp\":1", "\"exp\":9"));
        let none = encoded(r#"{"alg":"none","typ":"at+jwt"}"#);
        let short = ["", "Bearer", "Bearer ", "Bearer  ", "Bearer .", "Bearer ..", "Bearer a.b.c", "Bearer null"];
        let mut made_up: Vec<String> = short.map(str::to_owned).into();
        made_up.extend([
            token.clone(),
            format!("Basic {token}"),
            format!("Bearer{token}"),
            format!("Bearer Bearer {token}"),
            format!("Bearer {token}, Bearer {token}"),
            format!("Bearer {token}x"),
            format!("Bearer {}", &token[..token.len() - 2]),
            format!("Bearer {}", token.to_uppercase()),
            format!("Bearer {}.{}.", parts[0], parts[1]),
            format!("Bearer {}.{for_bob}.{}", parts[0], parts[2]),
            format!("Bearer {}.{longer}.{}", parts[0], parts[2]),
            format!("Bearer {none}.{}.", parts[1]),
            format!("Bearer {none}.{for_bob}.{}", parts[2]),
            format!("Bearer {}", ".".repeat(1000)),
            format!("Bearer {}", "A".repeat(48 * 1024)),
            format!("Bearer {}.{}.{}", parts[0], "A".repeat(40 * 1024), parts[2]),
        ]);
        assert!(payload.contains(&ann.id) && payload.contains("\"exp\":1"), "the forgeries are none: {payload}");
        for value in made_up {
            let reply = app.api.get("me").header("authorization", &value).await.problem(401, "unauthenticated");
            assert!(reply.header("www-authenticate").starts_with("Bearer"), "{reply}");
            app.api.post("tasks", json!({"title": "x"})).header("authorization", &value).await.problem(401, "");
        }
        app.api.get("me").header("authorization", format!("bEARER {token}")).await.expect(200);
    }

    async fn the_key_before_is_accepted_and_no_other(backend: Backend) {
        let clock = manual();
        let keyed = |key: &'static str, previous: Option<&'static str>| {
            TestApp::builder(backend).clock(clock.clone()).config(move |config| {
                config.auth.jwt_secret = Some(Secret::new(key));
                config.auth.jwt_secret_previous = previous.map(Secret::new);
            })
        };
        let (old, new) = ("the old key, which is at least 32 bytes", "the new key, which is at least 32 bytes");
        let app = keyed(old, None).spawn().await;
        let ann = app.register("ann").await;
        let bob = app.register("bob").await;
        ann.post("projects", json!({"name": "Second"})).await.expect(201);
        let cursor = ann.get("projects?limit=1").await.expect(200).text_at("/next_cursor");

        let other = "the key of another installation altogether";
        let stranger = keyed(other, None).database_url(app.storage.url()).spawn().await;
        stranger.api.with_token(&ann.access_token).get("me").await.problem(401, "unauthenticated");
        refresh(&stranger.api, &ann.refresh_token).await.problem(401, "invalid-refresh-token");
        drop(stranger);

        let app = keyed(new, Some(old)).storage(app.stop().await).spawn().await;
        let api = app.api.with_token(&ann.access_token);
        api.get("me").await.expect(200);
        api.get(&format!("projects?limit=1&cursor={cursor}")).await.expect(200);
        let pair = refresh(&app.api, &ann.refresh_token).await.expect(200);

        let app = keyed(new, None).storage(app.stop().await).spawn().await;
        app.api.with_token(&ann.access_token).get("me").await.problem(401, "unauthenticated");
        refresh(&app.api, &bob.refresh_token).await.problem(401, "invalid-refresh-token");
        let api = app.api.with_token(&pair.text_at("/access_token"));
        api.get("me").await.expect(200);
        api.get(&format!("projects?limit=1&cursor={cursor}")).await.problem(400, "invalid-cursor");
        refresh(&app.api, &pair.text_at("/refresh_token")).await.expect(200);
    }
}
