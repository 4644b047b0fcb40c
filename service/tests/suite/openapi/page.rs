//! The page at `/docs`: it comes whole from the service, and its policy lets it work.

use crate::harness::reply::Reply;
use crate::harness::{Backend, TestApp};

/// What `src`, `href` and `url()` name.
fn references(text: &str) -> Vec<&str> {
    let quoted = ["src=\"", "href=\"", "src='", "href='"].into_iter().flat_map(|start| {
        let end = start.chars().last().unwrap_or('"');
        text.split(start).skip(1).filter_map(move |rest| rest.split(end).next())
    });
    let urls = text.split("url(").skip(1).filter_map(|rest| rest.split(')').next());
    quoted.chain(urls.map(|url| url.trim_matches(['"', '\'']))).collect()
}

/// What a policy allows for a kind of resource.
fn sources<'a>(policy: &'a str, directive: &str) -> Vec<&'a str> {
    let rules = policy.split(';').map(|rule| rule.split_whitespace().collect::<Vec<_>>());
    let find = |name: &str| rules.clone().find(|rule| rule.first() == Some(&name)).map(|rule| rule[1..].to_vec());
    find(directive).or_else(|| find("default-src")).unwrap_or_default()
}

fn kind(reply: &Reply) -> &str {
    reply.header("content-type").split(';').next().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_and_all_it_loads_come_from_the_service() {
    let app = TestApp::spawn(Backend::Sqlite).await;
    let moved = app.api.get("/docs").await.expect(303);
    assert_eq!(moved.header("location"), "/docs/");
    let page = app.api.get("/docs/").await.expect(200);
    assert_eq!(kind(&page), "text/html");
    let policy = page.header("content-security-policy");
    for directive in ["script-src", "style-src", "connect-src", "img-src"] {
        assert!(sources(policy, directive).contains(&"'self'"), "{directive} in {policy}");
    }
    assert!(!sources(policy, "script-src").contains(&"'unsafe-inline'"), "{policy}");
    assert!(!page.text.contains("<script>"), "an inline script, which the policy stops:\n{}", page.text);

    let mut loaded = 0;
    for name in references(&page.text) {
        assert!(!name.contains("//"), "the page loads {name} from elsewhere");
        let file = app.api.get(&format!("/docs/{}", name.trim_start_matches("./"))).await.expect(200);
        let expected = match name.rsplit('.').next() {
            Some("js") => "text/javascript",
            Some("css") => "text/css",
            Some("png") => "image/png",
            other => panic!("{name}: what is {other:?}?"),
        };
        assert_eq!(kind(&file), expected, "{name}");
        assert_eq!(file.header("x-content-type-options"), "nosniff");
        if expected == "text/css" {
            let foreign: Vec<_> = references(&file.text).into_iter().filter(|url| !url.starts_with("data:")).collect();
            assert_eq!(foreign, [""; 0], "{name} loads more, which the policy stops");
            assert!(!file.text.contains("@import"), "{name} loads more, which the policy stops");
        }
        loaded += 1;
    }
    assert!(loaded >= 4, "only {loaded} files: this test does not see what the page loads\n{}", page.text);
    let script = app.api.get("/docs/swagger-initializer.js").await.expect(200);
    assert!(script.text.contains("\"/openapi.json\""), "the page does not show our document:\n{}", script.text);
    assert!(!script.text.contains("http://") && !script.text.contains("https://"), "{}", script.text);
    app.api.get("/docs/nothing.js").await.problem(404, "not-found");
    app.api.get("/docs/..%2f..%2fCargo.toml").await.problem(404, "not-found");
}
