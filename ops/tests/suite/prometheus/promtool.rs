//! The rules as promtool sees them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use ops::tree::{Rendered, Tree};
use slo::Slo;
use tempfile::TempDir;

use crate::tree::{changed, objectives};

/// As many at once as there are cores in the smallest place where the tests run.
const AT_ONCE: usize = 2;

/// promtool, or a loud skip.
pub(crate) fn promtool() -> Option<PathBuf> {
    let found = testkit::program("promtool");
    if found.is_none() {
        testkit::skip("promtool");
    }
    found
}

/// The exit status and all that a program said.
pub(crate) fn run(program: &Path, arguments: &[&str], folder: &Path) -> (bool, String) {
    let output = Command::new(program).args(arguments).current_dir(folder).output().expect("it starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

/// Every file of rules, tests and configuration in a folder of its own.
pub(crate) fn written(files: &[Rendered]) -> TempDir {
    let folder = TempDir::new().expect("a temporary directory");
    let tree = Tree::new(folder.path());
    files.iter().for_each(|file| assert!(tree.write(file).expect("written")));
    folder
}

/// The names of the test files among them.
pub(crate) fn tests(files: &[Rendered]) -> Vec<&str> {
    let paths = files.iter().map(|file| file.path.as_str());
    paths.filter(|path| path.starts_with("alerts/prometheus/tests/")).collect()
}

/// Runs `promtool test rules` on each file, a few at once; what each said, in the order of the files.
pub(crate) fn test_rules(promtool: &Path, folder: &Path, files: &[&str]) -> Vec<(bool, String)> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        while let Some((index, file)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|index| Some((index, files.get(index)?)))
        {
            done.push((index, run(promtool, &["test", "rules", file], folder)));
        }
        done
    };
    let mut done: Vec<(usize, (bool, String))> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("promtool ran")).collect()
    });
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, said)| said).collect()
}

fn pass(slo: &Slo, wanted: impl Fn(&str) -> bool) {
    let Some(promtool) = promtool() else { return };
    let files = ops::prometheus::rendered(slo);
    let folder = written(&files);
    let tests: Vec<&str> = tests(&files).into_iter().filter(|path| wanted(path)).collect();
    assert!(tests.len() >= slo.burn.len(), "{tests:?}");
    for (file, (passed, said)) in tests.iter().zip(test_rules(&promtool, folder.path(), &tests)) {
        assert!(passed, "{file}: {said}");
    }
}

#[test]
fn every_alert_fires_stays_silent_and_resolves_as_its_thresholds_say() {
    pass(&objectives(), |_| true);
}

#[test]
fn another_latency_makes_other_rules_whose_tests_pass_as_well() {
    pass(&changed("latency = 0.2 ", "latency = 0.25 "), |path| path.contains("slo-requests-latency"));
}

#[test]
fn other_windows_guards_and_intervals_make_other_rules_whose_tests_pass_as_well() {
    let mut slo = changed("availability = 0.999 ", "availability = 0.995 ");
    slo.guard_failures = 3;
    slo.canary.interval = "2m".parse().expect("a period");
    slo.burn.remove(2);
    slo.burn[0].budget = 0.015;
    // The other objectives are made by the same code.
    let others = ["requests-latency", "database-latency", "logs-delivered"];
    pass(&slo, |path| others.iter().all(|other| !path.contains(other)));
}

#[test]
fn the_rules_are_without_a_finding_of_promtool() {
    let Some(promtool) = promtool() else { return };
    let files = ops::prometheus::rendered(&objectives());
    let folder = written(&files);
    for file in files.iter().filter(|file| Path::new(&file.path).parent() == Some(Path::new("alerts/prometheus"))) {
        let arguments = ["check", "rules", "--lint=all", "--lint-fatal", &file.path];
        let (passed, said) = run(&promtool, &arguments, folder.path());
        assert!(passed && said.contains("SUCCESS"), "{}: {said}", file.path);
    }
    let (passed, said) = run(&promtool, &["check", "config", "alerts/prometheus.yml"], folder.path());
    assert!(passed && !said.contains("FAILED"), "{said}");
}

#[test]
fn every_task_behind_the_name_of_the_service_is_scraped_and_not_each_time_another() {
    let files = ops::prometheus::rendered(&objectives());
    let file = files.iter().find(|file| file.path == "alerts/prometheus.yml").expect("it is rendered");
    let config: serde_norway::Value = serde_norway::from_str(&file.text).expect("YAML");
    let jobs = config["scrape_configs"].as_sequence().expect("jobs");
    let service = jobs.iter().find(|job| job["job_name"] == "task-api").expect("the service");
    assert!(service.get("static_configs").is_none(), "one of several tasks, by chance: {service:?}");
    let found = &service["dns_sd_configs"][0];
    assert_eq!((found["names"][0].as_str(), found["type"].as_str()), (Some("task-api"), Some("A")));
    assert_eq!(found["port"].as_u64(), Some(9464));
}
