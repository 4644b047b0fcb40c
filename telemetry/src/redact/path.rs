//! The path of a request as it may be told.

use std::borrow::Cow;

use uuid::Uuid;

use super::{HIDDEN, is_token};

/// The path of a request that `route` answers, as it may be told: of what its template leaves open, only ids, which say which
/// resource was asked for. Anything else in the place of an id was put there by mistake, and any word may be a password.
///
/// Where no template fits, and in what a wildcard takes, nobody knows what belongs there: words and names of files stay, for
/// they say what somebody looks for, and what may be a secret goes: a token, an e-mail address, a name with its value, anything
/// that needed escaping, as text with spaces does.
///
/// Allocates only where something is hidden.
pub fn redact_path<'a>(path: &'a str, route: &str) -> Cow<'a, str> {
    if segments(path, route).all(|(_, is_kept)| is_kept) {
        return Cow::Borrowed(path);
    }
    let mut out = String::with_capacity(path.len());
    for (number, (segment, is_kept)) in segments(path, route).enumerate() {
        if number > 0 {
            out.push('/');
        }
        out.push_str(if is_kept { segment } else { HIDDEN });
    }
    Cow::Owned(out)
}

/// The segments of a path, and whether each may be told.
fn segments<'a>(path: &'a str, route: &str) -> impl Iterator<Item = (&'a str, bool)> {
    let mut template = split(route);
    // A template begins with a slash. `unmatched`, which stands for none, does not, and neither does what is behind a wildcard.
    let mut fits = route.starts_with('/');
    split(path).map(move |segment| {
        let expected = template.next().filter(|_| fits);
        fits = fits && expected.is_some_and(|expected| !expected.starts_with("{*"));
        let is_kept = match expected {
            Some(expected) if expected == segment => true,
            Some(expected) if fits && expected.starts_with('{') => Uuid::try_parse(segment).is_ok(),
            _ => is_plain(segment),
        };
        (segment, is_kept)
    })
}

/// `text.split('/')`, which for pieces as short as these takes longer to prepare its search than to search.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let whole = rest?;
        let end = whole.bytes().position(|byte| byte == b'/');
        rest = end.map(|end| &whole[end + 1..]);
        Some(end.map_or(whole, |end| &whole[..end]))
    })
}

/// What RFC 3986 calls unreserved needs no escape, and is no sign of a name and its value.
fn is_plain(segment: &str) -> bool {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    segment.bytes().all(unreserved) && !is_token(segment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::UNMATCHED;
    use proptest::prelude::*;

    #[test]
    fn ids_files_and_words_stay() {
        let id = "/api/v1/tasks/0197c3a5-6f2e-7cc0-9b1e-2f6d3c1a5b77/activity";
        for path in ["", "/", "*", "//a", id, "/docs/swagger-ui.css", "/wp-login.php", "/~me/.env"] {
            let expected = if path == "*" { HIDDEN } else { path };
            assert_eq!(redact_path(path, UNMATCHED), expected);
        }
        assert!(matches!(redact_path(id, UNMATCHED), Cow::Borrowed(_)), "the usual path costs no allocation");
    }

    #[test]
    fn in_the_place_of_an_id_only_an_id_stays() {
        let (task, member) = ("/api/v1/tasks/{id}", "/api/v1/projects/{id}/members/{user_id}");
        let id = "0197c3a5-6f2e-7cc0-9b1e-2f6d3c1a5b77";
        for (path, route, expected) in [
            (format!("/api/v1/tasks/{id}"), task, format!("/api/v1/tasks/{id}")),
            ("/api/v1/tasks/hunter2".into(), task, "/api/v1/tasks/[redacted]".into()),
            ("/api/v1/tasks/".into(), task, "/api/v1/tasks/[redacted]".into()),
            ("/api/v1/tasks".into(), "/api/v1/tasks", "/api/v1/tasks".into()),
            (
                format!("/api/v1/projects/{id}/members/hunter2"),
                member,
                format!("/api/v1/projects/{id}/members/[redacted]"),
            ),
            (
                format!("/api/v1/projects/hunter2/members/{id}"),
                member,
                format!("/api/v1/projects/[redacted]/members/{id}"),
            ),
            ("/docs/css/page.css".into(), "/docs/{*file}", "/docs/css/page.css".into()),
            ("/docs/a=b/page.css".into(), "/docs/{*file}", "/docs/[redacted]/page.css".into()),
            ("/docs/".into(), "/docs/", "/docs/".into()),
            ("/api/v1/tasks/hunter2/what".into(), UNMATCHED, "/api/v1/tasks/hunter2/what".into()),
        ] {
            assert_eq!(redact_path(&path, route), expected, "{route}");
            assert_eq!(matches!(redact_path(&path, route), Cow::Borrowed(_)), path == expected, "{path}");
        }
    }

    #[test]
    fn tokens_addresses_values_and_escaped_text_are_hidden_and_their_neighbours_stay() {
        let token = "AZ9h3kQ7cYvL2mNpR5tWx8yB4dF6gJ1sU0eIoKqTzVw";
        for secret in
            ["eyJhbGciOi.x.y", token, "ann@example.com", "ann%40example.com", "token=x", "buy%20milk", "a;b=c"]
        {
            assert_eq!(redact_path(&format!("/tasks/{secret}/more"), UNMATCHED), "/tasks/[redacted]/more");
        }
    }

    proptest! {
        #[test]
        fn segments_are_what_is_between_slashes(path in "[/a\\PC]{0,40}") {
            prop_assert!(split(&path).eq(path.split('/')));
        }

        #[test]
        fn what_is_left_is_plain_and_of_as_many_segments(path in "\\PC{0,80}") {
            let kept = redact_path(&path, UNMATCHED);
            prop_assert_eq!(kept.split('/').count(), path.split('/').count());
            prop_assert!(kept.split('/').all(|segment| segment == HIDDEN || is_plain(segment)));
        }

        #[test]
        fn whatever_stands_for_an_id_is_one_or_hidden(segment in "[^/]{0,50}") {
            let path = format!("/tasks/{segment}/activity");
            let kept = redact_path(&path, "/tasks/{id}/activity").into_owned();
            let is_id = Uuid::try_parse(&segment).is_ok();
            prop_assert_eq!(kept, if is_id { path } else { format!("/tasks/{HIDDEN}/activity") });
        }
    }
}
