//! Rules of the repository that no tool checks: how files open, which crates may be there twice, that the README runs.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Two versions of one of these compile, and then fail at run time: a span that nobody collects, a type that does not
/// match, two sets of trusted certificates.
const ONE_VERSION: &[&str] = &["axum", "hyper", "opentelemetry", "rustls", "tokio", "tracing"];

const DUPLICATES: &str = include_str!("duplicates.txt");

/// Commands of the README that are not the repository's own.
const PROGRAMS: &[&str] = &["cd", "curl", "docker", "export", "git", "jq", "kill", "open", "psql", "xdg-open"];

#[test]
fn every_source_file_says_what_it_is_for() {
    let files = source_files(&root());
    assert!(files.contains(&root().join("service/src/main.rs")), "the walk misses files: {files:?}");
    let opens = |path: &PathBuf| fs::read_to_string(path).expect("a readable file").starts_with("//! ");
    let silent: Vec<_> = files.iter().filter(|path| !opens(path)).collect();
    assert!(silent.is_empty(), "open these files with a `//!` line that says what they are for: {silent:#?}");
}

#[test]
fn no_crate_joins_those_that_are_there_twice() {
    let twice: BTreeMap<_, _> = versions().into_iter().filter(|(_, versions)| versions.len() > 1).collect();
    let line = |(name, versions): (&String, &BTreeSet<String>)| {
        format!("{name} {}", versions.iter().map(String::as_str).collect::<Vec<_>>().join(" "))
    };
    let found: BTreeSet<String> = twice.iter().map(line).collect();
    let listed = DUPLICATES.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let listed: BTreeSet<String> = listed.map(str::to_owned).collect();
    let added: Vec<_> = found.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&found).collect();
    assert!(
        added.is_empty(),
        "these crates are now compiled in more versions than before: {added:#?}\n\
         `cargo tree --workspace --duplicates --invert <name>@<version>` shows who asks for each. Take the version that is \
         there already, turn off the default feature that brings the second, or choose another crate. \
         service/tests/suite/duplicates.txt may only shrink: write into it only what a line there is replaced by."
    );
    assert!(
        gone.is_empty(),
        "good news: these lines of service/tests/suite/duplicates.txt no longer hold, remove them: {gone:#?}"
    );
}

#[test]
fn the_crates_that_break_silently_are_there_once() {
    let versions = versions();
    for name in ONE_VERSION {
        let found = versions.get(*name).unwrap_or_else(|| panic!("{name} is no dependency any more: remove it here"));
        assert!(found.len() == 1, "{name} is compiled in versions {found:?}; it must be one");
    }
}

#[test]
fn the_commands_of_the_readme_exist() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md");
    let commands = shell_commands(&readme);
    assert!(commands.iter().any(|command| command.starts_with("scripts/test")), "the README says how to test");
    for command in commands {
        let words: Vec<&str> = command.split_whitespace().collect();
        let Some((&program, arguments)) = words.split_first() else { continue };
        if is_assignment(program) {
            continue; // of a shell variable: the journey that it belongs to is run by a test of its own
        }
        match program {
            "cargo" => check_cargo(&command, arguments),
            "task-api" => check_help(&command, arguments),
            _ if program.contains('/') => assert!(root().join(program).is_file(), "{command}: no such file"),
            _ => assert!(PROGRAMS.contains(&program), "{command}: {program} is not of this repository; see PROGRAMS"),
        }
    }
}

fn check_cargo(command: &str, arguments: &[&str]) {
    let mut words = arguments.iter().take_while(|&&word| word != "--");
    let mut package = "service"; // the workspace's default member
    while let Some(word) = words.next() {
        if let "-p" | "--package" = *word {
            package = words.next().copied().unwrap_or_default();
        }
    }
    assert!(root().join(package).join("Cargo.toml").is_file(), "{command}: no package {package:?}");
    if arguments.first() == Some(&"run") && package == "service" {
        let own: Vec<&str> = arguments.iter().copied().skip_while(|&word| word != "--").skip(1).collect();
        check_help(command, &own);
    }
}

/// With `--help` behind it, a command line of `task-api` is parsed and not run.
fn check_help(command: &str, arguments: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_task-api")).args(arguments).arg("--help").output();
    let output = output.expect("the binary starts");
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The commands of a Markdown text's shell blocks: joined where a line ends in `\`, without prompt, pipe or comment.
fn shell_commands(markdown: &str) -> Vec<String> {
    let mut commands = Vec::new();
    for block in markdown.split("\n```").skip(1).step_by(2) {
        let (language, text) = block.split_once('\n').unwrap_or_default();
        if let "sh" | "bash" | "shell" | "console" = language.trim() {
            let joined = text.replace("\\\n", " ");
            let lines = joined.lines().map(|line| line.trim().trim_start_matches("$ "));
            let lines = lines.map(|line| line.split(" | ").next().unwrap_or(line));
            let lines = lines.map(|line| line.split(" #").next().unwrap_or(line).trim());
            commands.extend(lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned));
        }
    }
    commands
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
}

/// Name to versions of all that is compiled here for this platform. A version is cut to what says compatible: `1`,
/// `0.9`, so that an update within it changes nothing.
fn versions() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--workspace", "--prefix", "none", "--no-dedupe", "--format", "{p}", "--offline", "--locked"])
        .current_dir(root())
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let mut versions = BTreeMap::<String, BTreeSet<String>>::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let mut words = line.split_whitespace();
        if let (Some(name), Some(version)) = (words.next(), words.next()) {
            let compatible = compatible(version.trim_start_matches('v'));
            versions.entry(name.to_owned()).or_default().insert(compatible);
        }
    }
    versions
}

fn compatible(version: &str) -> String {
    let significant = version.split('.').take_while(|part| *part == "0").count() + 1;
    version.split('.').take(significant).collect::<Vec<_>>().join(".")
}

fn source_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).expect("a readable directory").flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() {
            let foreign = name == "target" || name == "node_modules" || name.to_string_lossy().starts_with('.');
            files.extend(if foreign { Vec::new() } else { source_files(&path) });
        } else if path.extension() == Some(OsStr::new("rs")) {
            files.push(path);
        }
    }
    files
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the service is a folder of the workspace").to_owned()
}
