//! Wrong input: one line that says what is wrong, and a code that a pipeline tells from a verdict.

use loadtest::fixture::Fault;

use crate::harness::{fixture, leftovers, result, run, short, slo};

#[tokio::test]
async fn what_cannot_be_meant_is_refused_with_64_and_one_line() {
    let (server, _) = fixture(Fault::default());
    let folder = tempfile::TempDir::new().expect("a directory");
    let profile = folder.path().join("p.toml");
    std::fs::write(&profile, "users = 1\nusres = 2\n").expect("a profile");
    let (url, profile, slo) = (server.url(), profile.display().to_string(), slo());
    let cases: [(&[&str], &str); 15] = [
        (&["--rate", "200"], "--rate 200: the objective is 1000/s; --below-objective says that less is meant"),
        (&["--window", "60s", "--duration", "60s"], "--window 1m: it takes up to 10s"),
        (&["--window", "6s", "--duration", "5s"], "--window 6s: it takes up to 5s, the measured time"),
        (&["--rate", "0"], "--rate 0: it takes 1 to 20000"),
        (&["--rate", "20001"], "--rate 20001: it takes 1 to 20000"),
        (&["--rate", "NaN"], "--rate NaN: it takes"),
        (&["--duration", "3h"], "--duration 3h: it takes up to 2h"),
        (&["--duration", "1"], "is no length of time"),
        (&["--connections", "0"], "--connections 0: it takes"),
        (&["--threads", "0"], "--threads 0: it takes"),
        (&["--trace-url", "javascript:{trace_id}"], "--trace-url: it takes an http address"),
        (&["--profile", &profile], "p.toml:2: unknown field `usres`"),
        (&["--host", "http://staging.example.com"], "--allow-host staging.example.com adds it"),
        (
            &["--host", "https://api.prod.example.com", "--allow-host", "api.prod.example.com"],
            "may be production, by its name",
        ),
        (&["--host", "staging"], "--host: \"staging\" is no address of a server"),
    ];
    for (more, message) in cases {
        let mut arguments = vec!["--host", &url, "--slo", &slo];
        if more.contains(&"--host") {
            arguments.drain(..2);
        }
        arguments.extend(more);
        let (code, output, _) = run(&arguments).await;
        assert_eq!(code, 64, "{more:?}: {output}");
        let first = output.lines().next().unwrap_or_default();
        assert!(first.contains(message), "{more:?}: {output}");
        let own = output.starts_with("loadtest: ");
        assert!(!own || output.lines().count() == 1, "{output}");
    }
    let (code, output, _) = run(&["--host", &url, "--slo", "no/such/slo.toml"]).await;
    assert_eq!((code, output.starts_with("loadtest: no/such/slo.toml: cannot be read")), (64, true), "{output}");
    assert_eq!(server.projects(), 0, "nothing was made");
}

#[tokio::test]
async fn a_refused_token_is_invalid_in_one_line_and_leaves_nothing() {
    let (server, profile) = fixture(Fault { refuses_tokens: true, ..Fault::default() });
    let url = server.url();
    let (code, output, directory) = run(&short(&url, &slo(), &["--profile", &profile])).await;
    let expected = format!("INVALID: POST /api/v1/projects of {url}: status 401");
    assert_eq!((code, output.trim()), (2, expected.as_str()));
    assert_eq!(leftovers(directory.path()), Vec::<std::path::PathBuf>::new());
}

#[tokio::test]
async fn a_run_that_could_not_begin_leaves_no_former_pass_but_says_invalid_in_every_file() {
    let (server, _) = fixture(Fault { refuses_tokens: true, ..Fault::default() });
    let nobody = format!("http://{}", testkit::free_address());
    let folder = tempfile::TempDir::new().expect("a directory");
    let report = folder.path().join("report").display().to_string();
    for (host, command) in [(&nobody, "run"), (&server.url(), "run"), (&nobody, "soak")] {
        std::fs::create_dir_all(&report).expect("a folder");
        for name in ["result.json", "report.md", "junit.xml", "report.html"] {
            std::fs::write(folder.path().join("report").join(name), "PASS of last week").expect("a file");
        }
        let arguments = [command, "--host", host, "--slo", &slo(), "--metrics-url", "none", "--report-dir", &report];
        let (code, output, _) = run(&arguments).await;
        assert_eq!(code, 2, "{output}");
        let read = |name: &str| std::fs::read_to_string(folder.path().join("report").join(name)).expect(name);
        for name in ["result.json", "report.md", "junit.xml", "report.html"] {
            assert!(!read(name).contains("PASS"), "{name}: {}", read(name));
        }
        assert_eq!(result(folder.path())["verdict"], "INVALID");
        let junit = read("junit.xml");
        assert!(junit.contains("errors=\"2\"") && junit.contains("<error message=\"INVALID"), "{junit}");
    }
}

#[tokio::test]
async fn metrics_that_were_named_and_do_not_answer_are_no_pass() {
    let (server, profile) = fixture(Fault::default());
    let nobody = format!("http://{}/metrics", testkit::free_address());
    let more = ["--rate", "20", "--profile", &profile, "--metrics-url", &nobody];
    let (code, output, _) = run(&short(&server.url(), &slo(), &more)).await;
    assert_eq!(code, 2, "{output}");
    assert!(output.contains("INVALID server's view of server: not read"), "{output}");
}

#[tokio::test]
async fn help_is_complete_and_shows_defaults() {
    let (code, output, _) = run(&["--help"]).await;
    assert_eq!(code, 0);
    for word in [
        "run",
        "explore",
        "find-max",
        "soak",
        "clean",
        "compare",
        "self-test",
        "[default: 60s]",
        "load.rate of slo.toml",
    ] {
        assert!(output.contains(word), "{word}: {output}");
    }
    let flags = ["--host", "--rate", "--duration", "--warm-up", "--profile", "--seed", "--report-dir", "--output"];
    assert!(flags.iter().all(|flag| output.contains(flag)), "{output}");
}

#[tokio::test]
async fn the_guide_names_only_flags_and_commands_that_exist() {
    let guide = std::fs::read_to_string(testkit::root().join("docs/load-testing.md")).expect("the guide");
    let mut help = String::new();
    for command in ["run", "explore", "find-max", "soak", "clean", "compare", "self-test"] {
        let (code, output, _) = run(&[command, "--help"]).await;
        assert_eq!(code, 0, "{command}");
        help += &output;
    }
    let own = |word: &&str| word.trim_matches('-').len() > 1 && *word != "--release";
    let flags =
        guide.split(|c: char| !(c.is_ascii_lowercase() || c == '-')).filter(|word| word.starts_with("--")).filter(own);
    let flags: Vec<&str> = flags.collect();
    assert!(flags.len() > 15, "the guide is read: {flags:?}");
    let unknown: Vec<&&str> = flags
        .iter()
        .filter(|flag| !help.contains(&format!("{flag} ")) && !help.contains(&format!("{flag}\n")))
        .collect();
    assert_eq!(unknown, Vec::<&&str>::new());
    let limits = crate::harness::objectives();
    assert!(guide.contains(&format!("{:.0} requests/s", limits.load.rate)), "the objective that the guide names");
}
