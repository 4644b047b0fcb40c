//! The README's journey, pasted from there into a shell.

use std::process::Command;

use crate::harness::app::TestApp;
use crate::harness::on_both_backends;

/// The lines of the shell block under a heading of the README.
fn block(heading: &str) -> String {
    let readme = include_str!("../../../README.md");
    let section = readme.split(heading).nth(1).expect("the README has the heading");
    let block = section.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next());
    block.expect("a shell block stands under the heading").to_owned()
}

on_both_backends! {
    async fn the_journey_of_the_readme_works_as_it_is_printed(app: TestApp) {
        let api = format!("http://{}", app.running.api);
        let script = block("## Try").replace("http://127.0.0.1:3000", &api);
        assert!(script.contains(&api), "the journey names the default address");
        let output = tokio::task::spawn_blocking(move || {
            Command::new("bash").args(["-euo", "pipefail", "-c", &script]).output()
        });
        let output = output.await.expect("the shell is not cancelled").expect("the shell starts");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(text.matches("\"title\":\"Ship the release\"").count(), 2, "created, then found: {text}");
        assert_eq!(text.matches("\"title\":\"Tell everybody\"").count(), 1, "made by the batch: {text}");
        assert!(!text.contains("urn:task-api:problem"), "{text}");
    }
}
