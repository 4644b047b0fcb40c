//! Nothing that the canary writes holds a secret, also when the service gives one back.

use testkit::process::Builder;

use crate::rig::{Answers, EMAIL, Front, PASSWORD, Ran, Rig, SECRET, SOON};

/// A service that repeats what it was told, wrapped in what it should not say.
fn indiscreet() -> Answers {
    let body = format!(
        r#"{{"access_token":"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln","echo":"{PASSWORD} {EMAIL} {SECRET}","status":"{PASSWORD}"}}"#
    );
    Answers::Before(format!(
        "location /api/v1/auth/login {{ default_type application/json; add_header set-cookie 'session={PASSWORD}'; \
         add_header x-debug '{SECRET}'; return 200 '{body}'; }}"
    ))
}

/// In headers that are shown, as the name of a field, as an id.
fn in_headers() -> Answers {
    Answers::Before(format!(
        "location ~ ^/api/v1/tasks {{ default_type application/problem+json; add_header location '/{SECRET}/{EMAIL}' always; \
         add_header www-authenticate 'Bearer realm=\"{PASSWORD}\"' always; add_header x-request-id '{SECRET}' always; \
         return 412 '{{\"type\":\"urn:task-api:problem:precondition-failed\",\"{SECRET}\":1}}'; }}"
    ))
}

/// Where a problem has its status, which should be a number.
fn in_a_status() -> Answers {
    Answers::Before(format!(
        "location ~ ^/api/v1/tasks/ {{ default_type application/problem+json; if ($http_authorization = '') {{ return 401 \
         '{{\"type\":\"urn:task-api:problem:unauthenticated\",\"status\":\"{PASSWORD}\"}}'; }} TO_SERVICE }}"
    ))
}

/// As the kind of an answer.
fn in_a_kind() -> Answers {
    Answers::Before(format!("location /health {{ default_type '{SECRET}/{PASSWORD}'; return 200 '{{}}'; }}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_hidden_in_headers_reasons_and_where_a_number_should_be() {
    let plain = format!("return 301 'https://elsewhere/{SECRET}/{PASSWORD}';").leak();
    let fronts = [
        Front { plain, ..Front::good(42).answering(in_headers()) },
        Front::good(43).answering(in_a_kind()),
        Front::good(44).answering(in_a_status()),
    ];
    let Some(rig) = Rig::start(&fronts).await else { return };
    let history = rig.file("history").display().to_string();
    let problem = "the problem's own status is no number, expected 401";
    for (number, seen) in [(42, "https://elsewhere/"), (43, "answered as "), (44, problem)] {
        for format in ["json", "text"] {
            let builder = rig.canary("run", &[number]).arg("--history").arg(&history).arg("--output").arg(format);
            let mut process = builder.start();
            assert_eq!(process.wait(SOON).await.code(), Some(2), "{}", process.output());
            let output = process.output();
            assert!(output.contains(seen) && (number != 42 || output.contains("www-authenticate")), "{seen}: {output}");
            let kept = std::fs::read_to_string(&history).expect("the history");
            for secret in [PASSWORD, SECRET, EMAIL] {
                assert!(!output.contains(secret) && !kept.contains(secret), "{secret} in {output}{kept}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_line_that_is_refused_shows_no_part_of_a_password() {
    for arguments in [
        &["run", "--target", "https://u:hunter22@a b"][..],
        &["run", "--target", "u:hunter22@a"],
        &["run", "--target", "https://u:hunter22%40a"],
        &["run", "--target", "https://a", "--password", "two", "hunter22"],
        &["run", "--target", "https://a", "--password", "two", "--hunter22"],
        &["run", "--target", "https://a", "--password", "--hunter22"],
        &["run", "--target", "https://a", "--passwort=hunter22"],
        &["run", "--target", "https://a", "--passwort", "hunter22"],
    ] {
        let mut builder = Builder::new(env!("CARGO_BIN_EXE_canary"));
        for argument in arguments {
            builder = builder.arg(argument);
        }
        let mut process = builder.start();
        assert_eq!(process.wait(SOON).await.code(), Some(64), "{arguments:?}: {}", process.output());
        let output = process.output();
        assert!(!output.is_empty() && !output.contains("hunter22"), "{arguments:?}: {output}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_output_holds_a_secret() {
    let Some(rig) = Rig::start(&[Front::good(40), Front::good(41).answering(indiscreet())]).await else { return };
    let history = rig.file("history").display().to_string();
    let mut outputs = Vec::new();
    for (number, code) in [(40, 0), (41, 2)] {
        for format in ["json", "text"] {
            let builder = rig.canary("run", &[number]).arg("--history").arg(&history).arg("--output").arg(format);
            let mut process = builder.start();
            assert_eq!(process.wait(SOON).await.code(), Some(code), "{}", process.output());
            outputs.push(process.output());
        }
    }
    let wrong = Ran::of(rig.canary("run", &[40]).env("CANARY_EMAIL", "x@example.com")).await.expect(3, "error");
    outputs.push(wrong.output);
    let mut check = rig.canary("check-config", &[40]).start();
    assert!(check.wait(SOON).await.success(), "{}", check.output());
    outputs.push(check.output());
    outputs.push(std::fs::read_to_string(&history).expect("the history"));
    outputs.push(rig.api.output());
    assert!(outputs[2].contains("login") && outputs[2].contains("x-debug"), "there is evidence: {}", outputs[2]);
    for output in &outputs {
        for secret in [PASSWORD, SECRET, EMAIL, "eyJ", "x@example.com"] {
            assert!(!output.contains(secret), "{secret} in {output}");
        }
    }
}
