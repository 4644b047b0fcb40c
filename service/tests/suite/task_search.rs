//! Full-text search: what is found, by which words, and that it is the same on both databases.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use super::given::{patched, path, task, titles, walk};
use super::harness::client::Api;
use super::harness::{TestApp, on_both_backends};

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

async fn found(api: &Api, q: &str) -> Vec<String> {
    let mut found = titles(api, &format!("q={}", encoded(q))).await;
    found.sort();
    found
}

/// The query finds a task by its title, and another by its description.
async fn finds(api: &Api, title: &str, q: &str) {
    let made = task(api, json!({"title": title})).await;
    assert_eq!(found(api, q).await, [title], "{q:?} in {title:?}");
    let hidden = task(api, json!({"title": "nothing of the kind", "description": title})).await;
    assert_eq!(found(api, q).await.len(), 2, "{q:?} in the description {title:?}");
    for task in [&made, &hidden] {
        api.delete(&path(task)).await.expect(204);
    }
}

on_both_backends! {
    async fn a_task_is_found_at_once_by_its_words(app: TestApp) {
        let ann = app.register("ann").await;
        task(&ann, json!({"title": "Ship the release", "description": "Tag, build, announce"})).await;
        task(&ann, json!({"title": "Announce a party"})).await;
        for (q, expected) in [
            ("ship", &["Ship the release"][..]),
            ("RELEASE the", &["Ship the release"]),
            ("release build", &["Ship the release"]),
            ("announce", &["Announce a party", "Ship the release"]),
            ("announce party", &["Announce a party"]),
            ("a", &["Announce a party"]),
            ("shi", &[]),
            ("ships", &[]),
            ("ship party", &[]),
            ("ship OR party", &[]),
            ("NOT ship", &[]),
            ("ship*", &["Ship the release"]),
            ("title:ship", &[]),
            ("ship AND release", &[]),
            ("\"the release\"", &["Ship the release"]),
            ("release-ship", &["Ship the release"]),
        ] {
            assert_eq!(found(&ann, q).await, expected, "{q}");
        }
    }

    async fn words_are_found_inside_punctuation(app: TestApp) {
        let ann = app.register("ann").await;
        for (title, q) in [
            ("deploy/prod", "prod"), ("deploy/prod", "deploy"), ("deploy/prod", "deploy/prod"), ("a-b", "b"),
            ("a-b", "a"), ("a-b", "a-b"), ("<b>bold</b>", "bold"), ("<b>bold</b>", "b"), ("snake_case_name", "case"),
            ("mail ann@example.com now", "example"), ("https://example.com/path?x=1#top", "path"),
            ("https://example.com/path?x=1#top", "top"), ("v1.22.3", "22"), ("3.14", "14"), ("-5 °C", "5"),
            ("it's", "it"), ("it's", "s"), ("&amp;", "amp"), ("a&b", "b"), ("50%", "50"), ("C++", "c"), ("~/home", "home"),
            ("x=y", "y"), ("(brackets)", "brackets"), ("[a]{b}", "b"), ("a|b", "b"), ("a\\b", "b"), ("a*b", "b"),
            ("a,b;c:d!e?f", "d"), ("\"quoted\"", "quoted"), ("`code`", "code"), ("a^b$c", "b"), ("1e5", "1e5"),
            ("12:30", "30"), ("2026-12-01", "12"), ("10kg", "10kg"), ("one\ntwo\tthree", "two"), ("a...b", "b"),
            ("--flag=value", "flag"), ("/usr/local/bin", "local"), ("file.tar.gz", "tar"), ("a+b", "b"), ("foo$", "foo"),
        ] {
            finds(&ann, title, q).await;
        }
    }

    async fn words_of_any_script_are_found(app: TestApp) {
        let ann = app.register("ann").await;
        for (title, q) in [
            ("Grüße aus Köln", "grüße"), ("Grüße aus Köln", "KÖLN"), ("naïve", "naïve"), ("Ελληνικά γράμματα", "ΓΡΆΜΜΑΤΑ"),
            ("Привет, мир!", "МИР"), ("漢字 かな", "漢字"), ("日本語—テスト", "テスト"), ("em—dash", "dash"), ("a·b", "b"),
            ("“curly”", "curly"), ("non\u{a0}breaking", "breaking"), ("🚀launch🚀", "launch"), ("٤٢", "٤٢"),
            ("cafe\u{301} ole", "cafe\u{301}"), ("नमस्ते दुनिया", "नमस्ते"), ("ไทย", "ไทย"), ("שלום עולם", "עולם"),
            ("soft\u{ad}hyphen", "soft\u{ad}hyphen"), ("zero\u{200b}width", "zero\u{200b}width"), ("x²", "x²"),
            ("soft\u{ad}hyphen", "hyphen"), ("zero\u{200b}width", "width"), ("word\u{2060}joiner", "joiner"), ("mark\u{feff}bom", "bom"), ("heart❤\u{fe0f}love", "love"),
        ] {
            finds(&ann, title, q).await;
        }
    }

    async fn an_accent_makes_another_word(app: TestApp) {
        let ann = app.register("ann").await;
        task(&ann, json!({"title": "résumé"})).await;
        task(&ann, json!({"title": "resume"})).await;
        assert_eq!(found(&ann, "resume").await, ["resume"]);
        assert_eq!(found(&ann, "RÉSUMÉ").await, ["résumé"]);
    }

    async fn search_forgets_what_was_changed_deleted_or_moved_away(app: TestApp) {
        let (ann, eve) = (app.register("ann").await, app.register("eve").await);
        let made = task(&ann, json!({"title": "before", "description": "old text"})).await;
        assert_eq!(found(&eve, "before").await, Vec::<String>::new());
        patched(&ann, &made, json!({"title": "after"})).await;
        assert_eq!(found(&ann, "before").await, Vec::<String>::new());
        assert_eq!(found(&ann, "after old").await, ["after"]);
        patched(&ann, &made, json!({"description": null})).await;
        assert_eq!(found(&ann, "old").await, Vec::<String>::new());
        ann.delete(&path(&made)).await.expect(204);
        assert_eq!(found(&ann, "after").await, Vec::<String>::new());
        ann.post(&format!("{}/restore", path(&made)), json!(null)).await.expect(200);
        assert_eq!(found(&ann, "after").await, ["after"]);
    }

    async fn search_pages_and_combines_with_filters(app: TestApp) {
        let ann = app.register("ann").await;
        for number in 0..30 {
            let status = if number % 3 == 0 { "done" } else { "todo" };
            let title = if number % 2 == 0 { format!("needle {number}") } else { format!("hay {number}") };
            task(&ann, json!({"title": title, "status": status})).await;
        }
        let titles = |tasks: Vec<Value>| -> Vec<String> {
            tasks.iter().filter_map(|task| Some(task["title"].as_str()?.to_owned())).collect()
        };
        let mut expected: Vec<String> = (0..30).step_by(2).map(|number| format!("needle {number}")).collect();
        assert_eq!(titles(walk(&ann, "q=needle&sort=created_at&limit=4").await), expected);
        expected.reverse();
        assert_eq!(titles(walk(&ann, "q=needle&limit=4").await), expected);
        let done = titles(walk(&ann, "q=needle&status=done&limit=2&sort=created_at").await);
        assert_eq!(done, ["needle 0", "needle 6", "needle 12", "needle 18", "needle 24"]);
    }

    /// Whatever stands between the words, each is found, and nothing in a query is an operator.
    async fn every_word_of_any_text_finds_it(app: TestApp) {
        let ann = app.register("ann").await;
        let mut runner = TestRunner::new_with_rng(Config::default(), proptest::test_runner::TestRng::deterministic_rng(
            proptest::test_runner::RngAlgorithm::ChaCha,
        ));
        let word = "[a-zA-Z0-9]{1,6}|[äöüßéñЖдя漢字]{1,3}";
        let between = "[ -/:-@\\[-`{-~—·“”…€🚀\u{a0}]{1,3}";
        let text = proptest::collection::vec((word, between), 1..6);
        for _ in 0..60 {
            let text = text.new_tree(&mut runner).expect("a text").current();
            let title: String = text.iter().flat_map(|(word, between)| [word.as_str(), between.as_str()]).collect();
            let made = task(&ann, json!({"title": title})).await;
            for (word, _) in &text {
                assert!(found(&ann, word).await.contains(&title), "{word:?} in {title:?}");
            }
            assert!(found(&ann, &title).await.contains(&title), "{title:?} in itself");
            ann.delete(&path(&made)).await.expect(204);
        }
    }
    async fn a_common_word_finds_what_a_rare_one_finds_page_by_page(app: TestApp) {
        let ann = app.register("ann").await;
        let title = |number: usize| {
            let most = if number.is_multiple_of(5) { "few" } else { "most" };
            let half = if number.is_multiple_of(2) { "even" } else { "odd" };
            let script = if number == 7 { "ärgerlich" } else { "plain" };
            format!("{most} {half} {script} {number}")
        };
        let create = |number: usize| json!({"op": "create", "task": {"title": title(number)}});
        for from in [0, 100] {
            let operations: Vec<Value> = (from..from + 100).map(create).collect();
            ann.post("tasks/batch", json!({"operations": operations, "atomic": true})).await.expect(200);
        }
        let all: Vec<Value> = walk(&ann, "sort=created_at&limit=200").await;
        let titles: Vec<&str> = all.iter().filter_map(|task| task["title"].as_str()).collect();
        assert_eq!(titles.len(), 200);
        for q in ["most", "Even", "few", "most odd", "ärgerlich", "plain", "7", "none"] {
            let has = |title: &&&str| q.to_lowercase().split(' ').all(|word| title.split(' ').any(|other| other == word));
            let expected: Vec<&str> = titles.iter().filter(has).copied().collect();
            let backwards: Vec<&str> = expected.iter().rev().copied().collect();
            for (sort, expected) in [("created_at", expected), ("-created_at", backwards)] {
                for limit in [1, 20, 21, 50, 51] {
                    let query = format!("q={}&sort={sort}&limit={limit}", encoded(q));
                    let found = walk(&ann, &query).await;
                    let found: Vec<&str> = found.iter().filter_map(|task| task["title"].as_str()).collect();
                    assert_eq!(found, expected, "{q:?} by {sort}, {limit}");
                }
            }
        }
    }
}
