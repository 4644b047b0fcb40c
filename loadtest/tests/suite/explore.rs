//! Goose with the same journeys.

use testkit::process::Builder;

use loadtest::fixture::Fault;

use crate::harness::{fixture, leftovers, machine, run};

#[tokio::test]
async fn explore_does_not_follow_a_redirect() {
    let _machine = machine().await;
    let (server, profile) = fixture(Fault { redirects: true, ..Fault::default() });
    let host = server.url();
    let arguments =
        ["explore", "--host", &host, "--users", "2", "--duration", "1s", "--report-dir", "report", "--profile"];
    let (code, output, directory) = run(&[&arguments[..], &[&profile]].concat()).await;
    assert_eq!(code, 2, "every answer leads away: {output}");
    let json = std::fs::read_to_string(directory.path().join("report/explore.json")).expect("goose's report");
    assert!(!json.contains("/elsewhere"), "{json}");
}

#[tokio::test]
async fn explore_drives_the_journeys_and_says_that_it_is_a_closed_loop() {
    let _machine = machine().await;
    let service = Builder::task_api().serve().await;
    let host = service.address("api").await;
    let arguments = ["explore", "--host", &host, "--users", "8", "--duration", "2s", "--report-dir", "report"];
    let (code, output, directory) = run(&arguments).await;
    assert_eq!(code, 0, "{output}");
    assert!(output.contains("Closed loop: each user waits"), "{output}");
    let read = |name: &str| std::fs::read_to_string(directory.path().join("report").join(name)).expect(name);
    for name in ["explore.html", "explore.md", "explore.json"] {
        assert!(read(name).contains("Closed loop"), "{name}");
    }
    let json: serde_json::Value = serde_json::from_str(&read("explore.json")).expect("JSON");
    let text = json.to_string();
    assert!(text.contains("\"create\"") && text.contains("\"list\""), "requests by operation: {text}");
    assert_eq!(leftovers(directory.path()), Vec::<std::path::PathBuf>::new());
}
