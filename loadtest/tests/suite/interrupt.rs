//! Ctrl-C at any second, and what a kill leaves.

use std::time::{Duration, Instant};

use loadtest::fixture::Fault;
use testkit::process::{Builder, Signal};

use crate::harness::{finished, fixture, leftovers, machine, result, rules, run, short, slo, tool};

#[tokio::test]
async fn ctrl_c_at_any_moment_cleans_up_and_is_invalid() {
    let _machine = machine().await;
    for (after, signal) in [(250, Signal::INT), (400, Signal::TERM), (900, Signal::INT), (2_500, Signal::INT)] {
        let (server, profile) = fixture(Fault { delay: Duration::from_millis(5), ..Fault::default() });
        let url = server.url();
        let process =
            tool(&short(&url, &slo(), &["--rate", "200", "--profile", &profile, "--duration", "30s"])).start();
        tokio::time::sleep(Duration::from_millis(after)).await;
        process.signal(signal);
        let (code, output, directory) = finished(process).await;
        assert_eq!(code, 2, "after {after} ms: {output}");
        assert_eq!(server.projects(), 0, "after {after} ms: {output}");
        assert_eq!(leftovers(directory.path()), Vec::<std::path::PathBuf>::new(), "after {after} ms: {output}");
        if after == 2_500 {
            let measured = result(directory.path());
            assert_eq!(rules(&measured, "whole run")[0]["outcome"], "invalid", "{output}");
            assert!(measured["operations"][0]["count"].as_u64() > Some(100), "what was measured is reported: {output}");
        }
    }
}

/// A command against a server that soon answers nobody any more: it is stopped so often, and has ended in seconds.
async fn stopped_while_the_target_hangs(command: &str, times: u32) -> (i32, String, tempfile::TempDir) {
    // Four people with a project and tasks each, and then some requests.
    let (server, profile) = fixture(Fault { hangs_after: Some(60), ..Fault::default() });
    let (url, slo) = (server.url(), slo());
    let mut arguments = vec![command, "--host", &url, "--profile", &profile, "--report-dir", "report"];
    arguments.extend(["--metrics-url", "none"]);
    arguments.extend(match command {
        "explore" => vec!["--users", "4", "--duration", "60s"],
        "find-max" => vec!["--slo", &slo, "--from", "100", "--step", "30s"],
        "soak" => vec!["--slo", &slo, "--rate", "100", "--duration", "60s", "--warm-up", "500ms"],
        _ => vec!["--slo", &slo, "--rate", "100", "--below-objective", "--duration", "30s", "--warm-up", "500ms"],
    });
    let process = tool(&arguments).start();
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let begun = Instant::now();
    for number in 0..times {
        // Time enough for the report, and not for a target that hangs.
        tokio::time::sleep(Duration::from_millis(if number > 0 { 2_000 } else { 0 })).await;
        process.signal(Signal::INT);
    }
    let (code, output, directory) = finished(process).await;
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(if times > 1 { 4 } else { 25 }), "{command} took {took:?}: {output}");
    assert!(!output.contains("panicked"), "{command}: {output}");
    assert_eq!(leftovers(directory.path()).len(), 1, "{command}: what could not be taken away is noted: {output}");
    (code, output, directory)
}

#[tokio::test]
async fn ctrl_c_while_the_target_hangs_reports_keeps_the_note_and_ends() {
    let _machine = machine().await;
    let (run, soak, find_max, explore) = tokio::join!(
        stopped_while_the_target_hangs("run", 1),
        stopped_while_the_target_hangs("soak", 1),
        stopped_while_the_target_hangs("find-max", 1),
        stopped_while_the_target_hangs("explore", 1),
    );
    for (code, output, directory) in [&run, &soak] {
        assert_eq!(*code, 2, "{output}");
        assert!(output.contains("not all could be taken away"), "{output}");
        assert_eq!(result(directory.path())["verdict"], "INVALID", "{output}");
    }
    assert_eq!(find_max.0, 2, "{}", find_max.1);
    assert!(find_max.1.contains("nothing was measured"), "{}", find_max.1);
    assert_eq!(explore.0, 2, "{}", explore.1);
    assert!(explore.1.contains("INVALID: stopped before its end"), "{}", explore.1);
    assert!(explore.2.path().join("report/explore.html").is_file(), "goose's reports: {}", explore.1);
}

#[tokio::test]
async fn a_second_ctrl_c_leaves_at_once_with_130_and_the_report_is_there() {
    let _machine = machine().await;
    let (run, soak, find_max, explore) = tokio::join!(
        stopped_while_the_target_hangs("run", 2),
        stopped_while_the_target_hangs("soak", 2),
        stopped_while_the_target_hangs("find-max", 2),
        stopped_while_the_target_hangs("explore", 2),
    );
    for (code, output, _) in [&run, &soak, &find_max, &explore] {
        assert_eq!(*code, 130, "{output}");
    }
    for (_, output, directory) in [&run, &soak] {
        assert_eq!(result(directory.path())["verdict"], "INVALID", "{output}");
    }
}

#[tokio::test]
async fn sigterm_ends_goose_with_its_reports() {
    let _machine = machine().await;
    let (server, profile) = fixture(Fault { delay: Duration::from_millis(5), ..Fault::default() });
    let url = server.url();
    let more = ["--profile", &profile, "--report-dir", "report", "--users", "4"];
    let process = tool(&[&["explore", "--host", &url][..], &more].concat()).start();
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    process.signal(Signal::TERM);
    let begun = Instant::now();
    let (code, output, directory) = finished(process).await;
    assert_eq!(code, 2, "{output}");
    assert!(begun.elapsed() < Duration::from_secs(10), "{output}");
    assert!(directory.path().join("report/explore.html").is_file(), "{output}");
    assert_eq!(leftovers(directory.path()), Vec::<std::path::PathBuf>::new(), "{output}");
    assert_eq!(server.projects(), 0);
}

#[tokio::test]
async fn a_set_up_that_breaks_at_the_third_person_leaves_nothing_that_came_to_be() {
    let (server, profile) = fixture(Fault { breaks_at_project: Some(3), ..Fault::default() });
    let (code, output, directory) = run(&short(&server.url(), &slo(), &["--profile", &profile])).await;
    assert_eq!(code, 2, "{output}");
    assert!(output.contains("POST /api/v1/projects") && output.contains("status 500"), "{output}");
    assert_eq!(server.projects(), 0, "the third project was made although the answer says that it was not");
    assert_eq!(leftovers(directory.path()), Vec::<std::path::PathBuf>::new(), "{output}");
}

#[tokio::test]
async fn a_set_up_that_is_stopped_says_what_may_be_left() {
    let (server, profile) = fixture(Fault { hangs_after: Some(6), ..Fault::default() });
    let process = tool(&short(&server.url(), &slo(), &["--profile", &profile])).start();
    tokio::time::sleep(Duration::from_millis(700)).await;
    process.signal(Signal::INT);
    let (code, output, directory) = finished(process).await;
    assert_eq!(code, 2, "{output}");
    assert!(output.contains("INVALID: stopped before the first request; not all could be taken away"), "{output}");
    assert_eq!(leftovers(directory.path()).len(), 1, "{output}");
    assert_eq!(result(directory.path())["verdict"], "INVALID", "{output}");
}

#[tokio::test]
async fn what_a_killed_run_leaves_is_found_and_taken_away() {
    let _machine = machine().await;
    let service = Builder::task_api().serve().await;
    let host = service.address("api").await;
    let mut process = tool(&short(&host, &slo(), &["--rate", "50", "--duration", "30s"])).start();
    // People are registered, and each of them costs the service a password's hash.
    for _ in 0..600 {
        if process.output().contains("requests/s on") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    process.kill9();
    let directory = std::mem::replace(&mut process.directory, tempfile::TempDir::new().expect("a directory"));
    let notes = leftovers(directory.path());
    assert_eq!(notes.len(), 1, "{}", process.output());
    let mode = std::os::unix::fs::MetadataExt::mode(&notes[0].metadata().expect("a note"));
    assert_eq!(mode & 0o777, 0o600, "it holds a password");
    let folder = directory.path().join("report").display().to_string();
    let (code, output, _) = run(&["clean", "--report-dir", &folder]).await;
    assert_eq!(code, 0, "{output}");
    assert!(output.contains(": 20 projects deleted at"), "{output}");
    assert_eq!(leftovers(directory.path()), Vec::<std::path::PathBuf>::new());
    let (code, output, _) = run(&["clean", "--report-dir", &folder]).await;
    assert_eq!((code, output.as_str()), (0, "0 runs cleaned up"));
}
