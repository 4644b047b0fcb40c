//! How much one may ask for: requests of a user, attempts from an address, passwords to be checked at once.

use std::future::IntoFuture as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use service::clock::Clock;
use service::config::Argon2Config;

use crate::harness::client::PASSWORD;
use crate::harness::reply::Reply;
use crate::harness::{Backend, TestApp, on_both_backends};

/// Five a second, of which two seconds' worth may come at once.
const BURST: usize = 10;

async fn limited(backend: Backend, clock: &Clock) -> TestApp {
    let app = TestApp::builder(backend).clock(clock.clone()).config(|config| {
        config.limits.rate_limit_per_second = 5;
        config.listen.trusted_proxy_hops = 1;
    });
    app.spawn().await
}

on_both_backends! {
    async fn a_user_over_the_rate_waits_and_no_other_does(backend: Backend) {
        let clock = Clock::manual(jiff::Timestamp::now());
        let app = limited(backend, &clock).await;
        let (ann, bob) = (app.register("ann").await, app.register("bob").await);
        clock.advance(Duration::from_secs(60));
        // A second token of the same user draws from the same bucket.
        let login = json!({"email": ann.email, "password": PASSWORD});
        let login = app.api.post("auth/login", login).header("x-forwarded-for", "203.0.113.99").await.expect(200);
        let ann_again = app.api.with_token(&login.text_at("/access_token"));
        for at in 0..BURST {
            let ann = if at % 2 == 0 { &*ann } else { &ann_again };
            ann.get("me").await.expect(200);
        }
        let reply = ann.get("me").await.problem(429, "rate-limited");
        assert_eq!(reply.header("retry-after"), "1");
        ann_again.post("tasks", json!({"title": "one too many"})).await.problem(429, "rate-limited");
        bob.get("me").await.expect(200);
        app.api.get("/health").await.expect(200);

        clock.advance(Duration::from_secs(1)); // what Retry-After said
        for _ in 0..5 {
            ann.get("me").await.expect(200);
        }
        ann.get("me").await.problem(429, "rate-limited");
        clock.advance(Duration::from_secs(2));
        assert_eq!(ann.get("tasks").await.expect(200).body["items"], json!([]), "a refused create left a task");
    }

    async fn an_address_over_the_rate_waits_whoever_it_claims_to_be(backend: Backend) {
        let clock = Clock::manual(jiff::Timestamp::now());
        let app = limited(backend, &clock).await;
        let ann = app.register("ann").await;
        let attempt = async |from: &str| {
            let wrong = json!({"email": ann.email, "password": "a guess at it"});
            app.api.post("auth/login", wrong).header("x-forwarded-for", from).await
        };
        for _ in 0..BURST {
            attempt("203.0.113.7").await.problem(401, "invalid-credentials");
        }
        let reply = attempt("203.0.113.7").await.problem(429, "rate-limited");
        assert_eq!(reply.header("retry-after"), "1");
        // Only what our own proxy appended counts.
        attempt("198.51.100.1, 203.0.113.7").await.problem(429, "rate-limited");
        attempt("203.0.113.7, 203.0.113.8").await.problem(401, "invalid-credentials");
        let registration = json!({"email": "new@example.com", "password": PASSWORD, "name": "New"});
        for (path, body) in [
            ("auth/register", registration),
            ("auth/refresh", json!({"refresh_token": ann.refresh_token})),
            ("auth/logout", json!({"refresh_token": ann.refresh_token})),
        ] {
            app.api.post(path, body).header("x-forwarded-for", "203.0.113.7").await.problem(429, "rate-limited");
        }
        // A token is known by its user, not by its address.
        ann.get("me").header("x-forwarded-for", "203.0.113.7").await.expect(200);

        // A subscriber of IPv6 has one bucket, however many addresses.
        for host in 0..BURST {
            attempt(&format!("2001:db8:1:1::{host:x}")).await.problem(401, "invalid-credentials");
        }
        attempt("2001:db8:1:1:ffff::1").await.problem(429, "rate-limited");
        attempt("2001:db8:1:2::1").await.problem(401, "invalid-credentials");

        clock.advance(Duration::from_secs(1));
        attempt("203.0.113.7").await.problem(401, "invalid-credentials");
        ann.post("auth/refresh", json!({"refresh_token": ann.refresh_token})).await.expect(200);
    }

    /// Logins wait for each other, briefly; beyond that they are told to come back; the rest of the API goes on.
    async fn a_storm_of_logins_is_cut_short_and_others_are_served(backend: Backend) {
        const STORM: usize = 160;
        let app = TestApp::builder(backend).config(|config| config.auth.argon2 = Argon2Config::default()).spawn().await;
        let (ann, bob) = (app.register("ann").await, app.register("bob").await);
        let login = json!({"email": ann.email, "password": PASSWORD});
        let over = AtomicBool::new(false);
        let storm = async {
            let replies = join_all((0..STORM).map(|_| app.api.post("auth/login", login.clone()).into_future())).await;
            over.store(true, Ordering::Relaxed);
            replies
        };
        let bystander = async {
            let mut asked = 0;
            while !over.load(Ordering::Relaxed) {
                bob.get("me").await.expect(200);
                asked += 1;
            }
            asked
        };
        let (replies, asked) = tokio::join!(storm, bystander);
        let (let_in, refused): (Vec<_>, Vec<_>) = replies.into_iter().partition(|reply| reply.status == 200);
        assert!(!let_in.is_empty() && !refused.is_empty(), "{} let in, {} refused", let_in.len(), refused.len());
        // On a busy machine some do not even get to the database in time.
        let is_overload = |reply: &Reply| reply.text_at("/type").ends_with("overloaded");
        assert!(refused.iter().any(is_overload), "none was refused for the passwords that wait");
        for reply in refused {
            let reply = reply.problem(503, "");
            assert!(reply.header("retry-after").parse().is_ok_and(|seconds: u32| seconds > 0), "{reply}");
        }
        assert!(asked > 0, "nobody asked during the storm");
        app.api.post("auth/login", login).await.expect(200);
    }
}
