//! Who may come in: registration and login, and how they refuse.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::client::{Api, PASSWORD};
use crate::harness::reply::Reply;
use crate::harness::{TestApp, on_both_backends};

async fn login(api: &Api, email: &str, password: &str) -> Reply {
    api.post("auth/login", json!({"email": email, "password": password})).await
}

async fn refresh(api: &Api, token: &str) -> Reply {
    api.post("auth/refresh", json!({"refresh_token": token})).await
}

/// What a client can tell answers apart by: all but the ids that each request has of its own.
fn told(reply: &Reply) -> (u16, Value, BTreeSet<String>) {
    let mut body = reply.body.clone();
    for own in ["request_id", "trace_id"] {
        body.as_object_mut().expect("an object").remove(own);
    }
    (reply.status, body, reply.headers.keys().map(ToString::to_string).collect())
}

on_both_backends! {
    async fn registering_gives_a_user_a_session_and_a_personal_project(app: TestApp) {
        let body = json!({"email": "  Ann@Example.COM ", "password": PASSWORD, "name": "Ann ⚓"});
        let reply = app.api.post("auth/register", body).await.expect(201);
        let members: BTreeSet<_> = reply.body.as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(members, BTreeSet::from(["user", "access_token", "refresh_token", "token_type", "expires_in"]));
        let user: BTreeSet<_> = reply.at("/user").as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(user, BTreeSet::from(["id", "email", "name", "created_at"]));
        assert_eq!(reply.text_at("/user/email"), "ann@example.com");
        assert_eq!(reply.text_at("/user/name"), "Ann ⚓");
        assert_eq!(reply.text_at("/user/id").chars().nth(14), Some('7'), "an id is a UUIDv7\n{reply}");
        assert!(reply.text_at("/user/created_at").ends_with('Z'), "times are UTC\n{reply}");
        assert_eq!((reply.text_at("/token_type"), reply.at("/expires_in")), ("Bearer".to_owned(), &json!(900)));
        assert!(!reply.text.contains("password"), "{reply}");

        let ann = app.api.with_token(&reply.text_at("/access_token"));
        assert_eq!(&ann.get("me").await.expect(200).body, reply.at("/user"));
        let projects = ann.get("projects").await.expect(200);
        assert_eq!(projects.at("/items").as_array().map(Vec::len), Some(1), "{projects}");
        assert_eq!((projects.at("/items/0/personal"), projects.at("/items/0/role")), (&json!(true), &json!("owner")));
    }

    async fn an_address_is_taken_whatever_its_case(app: TestApp) {
        let register = async |email: &str| {
            app.api.post("auth/register", json!({"email": email, "password": PASSWORD, "name": "Ann"})).await
        };
        register("ann@example.com").await.expect(201);
        for taken in ["ann@example.com", "ANN@example.com", "Ann@EXAMPLE.com", " ann@example.com\t"] {
            register(taken).await.problem(409, "conflict").pointer("/email");
        }
        let replies = join_all((0..8).map(|_| register("Bob@example.com"))).await;
        let mut statuses: Vec<_> = replies.iter().map(|reply| reply.status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409, 409, 409, 409, 409, 409, 409]);
    }

    async fn a_registration_that_cannot_be_used_names_the_field(app: TestApp) {
        let long = |characters: usize| "x".repeat(characters);
        let refused = [
            ("email", json!("")),
            ("email", json!("ann")),
            ("email", json!("@example.com")),
            ("email", json!("ann@")),
            ("email", json!("ann@b@example.com")),
            ("email", json!("an n@example.com")),
            ("email", json!("ann@exa\u{0}mple.com")),
            ("email", json!("ann@exa\nmple.com")),
            ("email", json!(format!("{}@example.com", long(65)))),
            ("email", json!(format!("ann@{}", long(251)))),
            ("email", json!(7)),
            ("email", json!(null)),
            ("password", json!("1234567")),
            ("password", json!("ⅧⅧⅧⅧⅧⅧⅧ")),
            ("password", json!(long(129))),
            ("password", json!("correct\u{0}horse")),
            ("password", json!([PASSWORD])),
            ("name", json!("")),
            ("name", json!("   ")),
            ("name", json!("An\u{0}n")),
            ("name", json!(long(101))),
            ("admin", json!(true)),
            ("id", json!("0197c3a5-0c52-7d10-93f3-1a2b3c4d5e6f")),
        ];
        for (field, value) in refused {
            let mut body = json!({"email": "ann@example.com", "password": PASSWORD, "name": "Ann"});
            body[field] = value;
            let reply = app.api.post("auth/register", body).await.problem(422, "invalid-body");
            let reply = reply.pointer(&format!("/{field}"));
            assert!(!reply.text.contains(PASSWORD), "a password comes back\n{reply}");
        }
        for field in ["email", "password", "name"] {
            let mut body = json!({"email": "ann@example.com", "password": PASSWORD, "name": "Ann"});
            body.as_object_mut().expect("an object").remove(field);
            app.api.post("auth/register", body).await.problem(422, "invalid-body");
        }
        let all = json!({"email": "", "password": "", "name": ""});
        let reply = app.api.post("auth/register", all).await.problem(422, "");
        reply.pointer("/email").pointer("/password").pointer("/name");
        // Nothing of all this was kept; and the longest that is allowed is.
        login(&app.api, "ann@example.com", PASSWORD).await.problem(401, "invalid-credentials");
        let email = format!("{}@{}", long(64), long(189));
        let longest = json!({"email": email, "password": "ⅷ".repeat(128), "name": "ⅷ".repeat(100)});
        app.api.post("auth/register", longest).await.expect(201);
        login(&app.api, &email, &"ⅷ".repeat(128)).await.expect(200);
    }

    async fn a_login_lets_in_and_a_refused_one_does_not_say_why(app: TestApp) {
        let ann = app.register("ann").await;
        let reply = login(&app.api, &format!(" {} ", ann.email.to_uppercase()), PASSWORD).await.expect(200);
        assert_eq!(reply.text_at("/user/id"), ann.id);
        assert_eq!(reply.at("/expires_in"), 900);
        assert_ne!(reply.text_at("/refresh_token"), ann.refresh_token, "each login is a session of its own");
        app.api.with_token(&reply.text_at("/access_token")).get("me").await.expect(200);
        refresh(&app.api, &reply.text_at("/refresh_token")).await.expect(200);

        let wrong = login(&app.api, &ann.email, "wrong horse battery staple").await.problem(401, "invalid-credentials");
        let refused = [
            ("nobody@example.com".to_owned(), PASSWORD.to_owned()),
            ("no address".to_owned(), PASSWORD.to_owned()),
            (String::new(), String::new()),
            (ann.email.clone(), String::new()),
            (ann.email.clone(), PASSWORD.to_uppercase()),
            (ann.email.clone(), format!("{PASSWORD} ")),
            (ann.email.clone(), format!("{PASSWORD}\0")),
            (format!("{}\0", ann.email), PASSWORD.to_owned()),
            (ann.email.clone(), "x".repeat(100_000)),
            ("x".repeat(100_000), PASSWORD.to_owned()),
        ];
        for (email, password) in refused {
            let reply = login(&app.api, &email, &password).await;
            assert_eq!(told(&reply), told(&wrong), "{reply}");
        }
        let unknown = json!({"email": ann.email, "password": PASSWORD, "remember": true});
        app.api.post("auth/login", unknown).await.problem(422, "invalid-body").pointer("/remember");
    }

    /// RFC 9110 asks it of every 401.
    async fn every_401_names_the_scheme(app: TestApp) {
        let refused = [
            app.api.get("me").await,
            login(&app.api, "nobody@example.com", PASSWORD).await,
            refresh(&app.api, "nonsense").await,
            app.api.request(reqwest::Method::POST, "auth/logout").await,
            app.api.post("auth/logout", json!({"refresh_token": "nonsense"})).await,
        ];
        for reply in refused {
            let reply = reply.problem(401, "");
            assert!(reply.header("www-authenticate").starts_with("Bearer"), "{reply}");
        }
    }
}
