//! What must be gone, what must stay, and that no text is too odd.

use proptest::prelude::*;

use super::*;

#[test]
fn what_helps_stays() {
    for text in [
        "index out of bounds: the len is 3 but the index is 99",
        "the database is unavailable: connection refused (os error 111)",
        "src/store/mod.rs:25:9: relation \"tasks\" does not exist",
        "duplicate key value violates unique constraint \"users_email_key\"",
        "no such table: tasks",
        "trace 4bf92f3577b34da6a3ce929d0e0e4736 of 018f0c8e-7b2a-7cc1-a1b2-000000000000",
        "called `Option::unwrap()` on a `None` value",
        "it can't be: why? nobody knows",
        "a token was expected",
    ] {
        assert_eq!(redact(text), text);
    }
}

#[test]
fn what_is_secret_goes_and_what_stands_around_it_stays() {
    for (text, expected) in [
        ("Authorization: Bearer abc.def and more", "Authorization: [redacted]"),
        ("sent Bearer abc.def to x", "sent Bearer [redacted] to x"),
        ("cookie: a=1; b=2", "cookie: [redacted]"),
        ("connect postgres://app:hunter2@db/x failed", "connect postgres://[redacted]@db/x failed"),
        ("user ann@example.com is gone", "user [redacted] is gone"),
        ("GET /tasks?q=plan&limit=3 failed", "GET /tasks?[redacted] failed"),
        ("refresh_token=abc, next", "refresh_token=[redacted], next"),
        ("Key (email)=(ann) already exists.", "Key (email)=([redacted]) already exists."),
        ("invalid input syntax for type uuid: \"my note\"", "invalid input syntax for type uuid: \"[redacted]\""),
        ("UPDATE tasks SET n = 42 WHERE id = $1", "UPDATE tasks SET n = ?? WHERE id = $1"),
        ("JWT_SECRET_PREVIOUS = x", "JWT_SECRET_PREVIOUS = [redacted]"),
        ("can't find 'buy milk' here", "can't find '[redacted]' here"),
        ("it's not 'buy milk', isn't it", "it'[redacted]"),
        ("can't find 'it's milk'", "can'[redacted]"),
        ("s = E'buy milk' failed", "s = E'[redacted]"),
        ("unwrap on an `Err` value: Db(\"text", "unwrap on an `Err` value: Db(\"[redacted]\""),
    ] {
        assert_eq!(redact(text), expected);
    }
}

#[test]
fn a_text_of_any_length_is_bounded_and_a_cut_leaves_no_half_of_a_secret() {
    let secret = "s3cr3t".repeat(20);
    let text = format!("{}{secret}", "word ".repeat(INPUT_BYTES_MAX / 5 - 3));
    let redacted = redact(&text);
    assert_eq!(redacted.chars().count(), REDACTED_CHARACTERS_MAX);
    assert!(redacted.ends_with('…'));
    let text = format!("{}{secret}", "(\u{e4}@b) ".repeat(INPUT_BYTES_MAX / 7));
    assert!(!redact(&text).contains("s3cr3t"));
}

/// Words that stand around a secret.
fn around() -> impl Strategy<Value = String> {
    "([a-z]{1,8}[ ,.]){0,6}"
}

proptest! {
    #[test]
    fn no_text_panics_or_grows_without_bound(text in any::<String>()) {
        prop_assert!(redact(&text).chars().count() <= REDACTED_CHARACTERS_MAX);
    }

    #[test]
    fn a_secret_by_its_name_is_gone(
        before in around(),
        name in prop::sample::select(SECRET_NAMES),
        joint in prop::sample::select(&["=", ": ", " = ", "\": \"", ":"][..]),
        secret in "Z[A-Za-z0-9+/._-]{5,30}Z",
        after in around(),
    ) {
        let redacted = redact(&format!("{before} x_{name}{joint}{secret} {after}"));
        prop_assert!(!redacted.contains(&secret), "{}", redacted);
    }

    #[test]
    fn an_email_address_is_gone(before in around(), local in "[a-z0-9._+-]{1,20}", host in "[a-z0-9-]{1,10}\\.[a-z]{2,5}") {
        let redacted = redact(&format!("{before} <{local}@{host}> and {local}@{host}"));
        prop_assert!(!redacted.contains(&format!("@{host}")), "{}", redacted);
        prop_assert!(local.len() < 9 || !redacted.contains(&local), "{}", redacted);
    }

    #[test]
    fn a_token_is_gone(before in around(), token in "[A-Za-z0-9_-]{39,80}7", after in around()) {
        let redacted = redact(&format!("{before} {token} {after}"));
        prop_assert!(!redacted.contains(&token), "{}", redacted);
    }

    #[test]
    fn a_query_string_is_gone(path in "(/[a-z]{1,6}){1,3}", name in "[a-z]{4,8}", value in "Z[a-z0-9%+]{4,12}Z") {
        let redacted = redact(&format!("GET {path}?{name}={value}&other={value} failed"));
        prop_assert!(!redacted.contains(&value), "{}", redacted);
    }

    #[test]
    fn quoted_text_is_gone(before in around(), text in "Z[A-Za-z ,.;:!?]{3,40}Z", quote in prop::sample::select(&['"', '\''][..])) {
        let redacted = redact(&format!("{before} {quote}{text}{quote} failed"));
        prop_assert!(!redacted.contains(&text), "{}", redacted);
    }

    #[test]
    fn quoted_text_behind_an_apostrophe_is_gone(
        word in prop::sample::select(&["can't", "user's", "they're", "isn't it, I'm", "E"][..]),
        joint in prop::sample::select(&[" ", "", ": "][..]),
        // Letters of which no word can be part of those around it, nor of the word that stands for what was hidden.
        text in "Z[u-zU-Z ,.]{3,20}[u-z]'[u-z]{3,20}Z|Z[u-zU-Z ,.]{3,40}Z",
    ) {
        let redacted = redact(&format!("{word}{joint}'{text}' failed"));
        let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric()).filter(|word| word.len() > 2).collect();
        prop_assert!(words.iter().all(|word| !redacted.contains(word)), "{}", redacted);
    }

    #[test]
    fn sql_values_are_gone(number in 1_000_000_u64.., text in "Z[a-z ]{3,20}Z") {
        let redacted = redact(&format!("SELECT x FROM t WHERE n = {number} AND s = '{text}'; DETAIL: Key (s, n)=({text}, {number})"));
        prop_assert!(!redacted.contains(&text) && !redacted.contains(&number.to_string()), "{}", redacted);
    }
}
