//! The command line and the environment: what is refused, how it is said, and what `--help` tells.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt as _;
use std::process::{Command, Output};
use std::time::Duration;

use crate::harness::process::{Serving, task_api};

const SOON: Duration = Duration::from_secs(20);
const SECRET: &str = "a-planted-secret-of-at-least-32-bytes";

/// Each variable with a value that it does not take, and words of what it takes.
const BAD: &[(&str, &str, &str)] = &[
    ("LISTEN_ADDR", "localhost", "an address and a port"),
    ("LISTEN_ADDR", "127.0.0.1:99999", "an address and a port"),
    ("ADMIN_ADDR", "9464", "an address and a port"),
    ("DATABASE_URL", "mysql://user:planted@host/tasks", "sqlite://PATH or postgres://"),
    ("DATABASE_URL", "data/tasks.db", "sqlite://PATH or postgres://"),
    ("DATABASE_URL", "sqlite://", "sqlite://PATH"),
    ("DATABASE_URL", "sqlite://:memory:", "sqlite://PATH"),
    ("DATABASE_URL", "postgres://user:planted@host:port/tasks", "postgres://"),
    ("DATABASE_URL", "postgres://user:planted@/tasks", "postgres://"),
    ("DATABASE_URL", "postgres://user:planted@host/tasks?no_such_option=1", "postgres://"),
    ("DATABASE_URL", "postgres://user:planted@host/tasks?sslmode=require", "sslrootcert"),
    ("DATABASE_URL", "postgres://user:planted?@host/tasks?sslmode=require", "%3F"),
    ("DATABASE_POOL_SIZE", "0", "a whole number from 1 to 1000"),
    ("DATABASE_POOL_SIZE", "many", "a whole number from 1 to 1000"),
    ("AUTO_MIGRATE", "yes please", "true or false"),
    ("JWT_SECRET", "planted", "at least 32 bytes"),
    ("JWT_SECRET_PREVIOUS", "planted", "at least 32 bytes"),
    ("SYNTHETIC_SECRET", "planted", "at least 32 bytes"),
    ("SYNTHETIC_SECRET", "planted-and-long-enough-but-not all visible", "visible ASCII"),
    ("SYNTHETIC_SECRET", "planted-and-long-enough-but-with-an-ü", "visible ASCII"),
    ("RATE_LIMIT_PER_SECOND", "-1", "a whole number from 0"),
    ("REQUEST_TIMEOUT_MS", "10s", "a whole number from 1"),
    ("REQUEST_TIMEOUT_MS", "0", "a whole number from 1"),
    ("HEADER_TIMEOUT_MS", "0", "a whole number from 1"),
    ("MAX_IN_FLIGHT", "0", "a whole number from 1"),
    ("QUEUE_TIMEOUT_MS", "1s", "a whole number from 0"),
    ("MAX_CONNECTIONS", "1.5", "a whole number from 1"),
    ("SHUTDOWN_GRACE_MS", "99999999999999999999", "a whole number from 0"),
    ("DRAIN_DELAY_MS", "soon", "a whole number from 0"),
    ("DRAIN_DELAY_MS", "25000", "less than SHUTDOWN_GRACE_MS"),
    ("TRUSTED_PROXY_HOPS", "17", "a whole number from 0 to 16"),
    ("CORS_ALLOWED_ORIGINS", "app.example.com", "origins such as https://"),
    ("CORS_ALLOWED_ORIGINS", "https://good.example.com,https://app.example.com/path", "origins such as https://"),
    ("LOG_FORMAT", "xml", "json or pretty"),
    ("RUST_LOG", "loud", "info"),
    ("CLOUDWATCH_LOG_GROUP", "a b", "1 to 512 letters"),
    ("CLOUDWATCH_LOG_STREAM", "alone", "together with CLOUDWATCH_LOG_GROUP"),
    ("CLOUDWATCH_LOG_RETENTION_DAYS", "7", "together with CLOUDWATCH_LOG_GROUP"),
    ("CLOUDWATCH_METRICS_NAMESPACE", "alone", "together with CLOUDWATCH_LOG_GROUP"),
    ("CLOUDWATCH_SPOOL_DIR", "alone", "together with CLOUDWATCH_LOG_GROUP"),
    ("CLOUDWATCH_SPOOL_MAX_MB", "5", "together with CLOUDWATCH_LOG_GROUP"),
    ("SENTRY_DSN", "planted", "https://"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "planted:4318", "a URL such as http://"),
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://user:planted@host", "a URL such as http://"),
    ("OTEL_EXPORTER_OTLP_HEADERS", "planted", "name=value"),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/protobuf"),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "http/protobuf"),
    ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc", "http/protobuf"),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon", "a whole number from 1"),
    ("OTEL_TRACES_SAMPLER", "sometimes", "parentbased_traceidratio"),
    ("OTEL_TRACES_SAMPLER_ARG", "1.5", "a number from 0 to 1"),
    ("OTEL_RESOURCE_ATTRIBUTES", "planted", "name=value"),
    ("TRACE_SLOW_MS", "-1", "a whole number from 0"),
];

/// Variables whose value is never said, because it holds a secret or may hold one.
const SECRETS: &[&str] = &[
    "JWT_SECRET",
    "JWT_SECRET_PREVIOUS",
    "SYNTHETIC_SECRET",
    "DATABASE_URL",
    "SENTRY_DSN",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_RESOURCE_ATTRIBUTES",
];

/// Variables of parts that this version lacks.
const LATER: &[&str] = &["REDIS_URL", "OIDC_ISSUER", "OIDC_CLIENT_ID"];

/// Each variable of this version with its default, as `--help` has it.
const DEFAULTS: &[(&str, &str)] = &[
    ("LISTEN_ADDR", "[default: 127.0.0.1:3000]"),
    ("ADMIN_ADDR", "[default: 127.0.0.1:9464]"),
    ("DATABASE_URL", "[default: sqlite://data/tasks.db]"),
    ("DATABASE_POOL_SIZE", "[default: 8]"),
    ("AUTO_MIGRATE", "[default: true on SQLite, false on PostgreSQL]"),
    ("JWT_SECRET", "[default: made at first start"),
    ("JWT_SECRET_PREVIOUS", ""),
    ("SYNTHETIC_SECRET", "[default: none: no request is believed]"),
    ("RATE_LIMIT_PER_SECOND", "[default: 0]"),
    ("REQUEST_TIMEOUT_MS", "[default: 10000]"),
    ("HEADER_TIMEOUT_MS", "[default: 10000]"),
    ("MAX_IN_FLIGHT", "[default: 512]"),
    ("QUEUE_TIMEOUT_MS", "[default: 5000]"),
    ("MAX_CONNECTIONS", "[default: 10000]"),
    ("SHUTDOWN_GRACE_MS", "[default: 25000]"),
    ("DRAIN_DELAY_MS", "[default: 0]"),
    ("TRUSTED_PROXY_HOPS", "[default: 0]"),
    ("CORS_ALLOWED_ORIGINS", "[default: none]"),
    ("LOG_FORMAT", "[default: json; pretty on a terminal]"),
    ("RUST_LOG", "[default: info]"),
    ("DEPLOYMENT_ENVIRONMENT", "[default: development]"),
    ("CLOUDWATCH_LOG_GROUP", "[default: standard output only]"),
    ("CLOUDWATCH_LOG_STREAM", "[default: a name that no other task has]"),
    ("CLOUDWATCH_LOG_RETENTION_DAYS", "[default: 30]"),
    ("CLOUDWATCH_METRICS_NAMESPACE", "[default: none]"),
    ("CLOUDWATCH_SPOOL_DIR", "[default: in memory only]"),
    ("CLOUDWATCH_SPOOL_MAX_MB", "[default: 512]"),
    ("SENTRY_DSN", "[default: none]"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "[default: no traces]"),
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", ""),
    ("OTEL_EXPORTER_OTLP_HEADERS", ""),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "[default: http/protobuf]"),
    ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", ""),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "[default: 10000]"),
    ("OTEL_TRACES_SAMPLER", "[default: parentbased_always_on]"),
    ("OTEL_TRACES_SAMPLER_ARG", "[default: 1]"),
    ("OTEL_SERVICE_NAME", "[default: task-api"),
    ("OTEL_RESOURCE_ATTRIBUTES", ""),
    ("TRACE_SLOW_MS", "[default: 200]"),
];

/// What is slow is what the objectives say, and they stand in one file.
#[test]
fn requests_slower_than_the_objective_are_those_whose_traces_are_kept() {
    let slo = slo::Slo::read(&testkit::root().join("slo.toml")).expect("the objectives");
    let default = format!("[default: {}]", slo.requests.latency * 1000.0);
    assert!(DEFAULTS.contains(&("TRACE_SLOW_MS", default.as_str())), "TRACE_SLOW_MS is not {default}");
}

fn flag(variable: &str) -> String {
    format!("--{}", variable.to_ascii_lowercase().replace('_', "-"))
}

/// The binary with this environment and these arguments; it must end by itself.
fn run(environment: &[(&str, &OsStr)], arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_task-api"));
    command.env_clear().envs(environment.iter().copied()).args(arguments).current_dir(folder.path());
    let output = command.output().expect("the binary starts");
    let left: Vec<_> =
        std::fs::read_dir(folder.path()).expect("the folder").flatten().map(|entry| entry.path()).collect();
    assert!(left.is_empty(), "a refused start leaves {left:?}");
    output
}

/// The one line of a refusal: exit code 64, nothing on standard output.
#[track_caller]
fn refusal(output: &Output) -> String {
    let says = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(64), "{says}");
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(says.lines().count(), 1, "one line: {says:?}");
    assert!(says.ends_with('\n') && !says.contains('\u{1b}'), "{says:?}");
    says
}

#[test]
fn a_bad_value_ends_the_start_with_one_line_that_names_it() {
    for (variable, value, takes) in BAD {
        let by_environment = refusal(&run(&[(variable, OsStr::new(value))], &[]));
        let by_flag = refusal(&run(&[], &[&format!("{}={value}", flag(variable))]));
        for says in [by_environment, by_flag] {
            assert_eq!(says.matches(variable).count(), 1, "names {variable} once: {says}");
            assert!(says.contains("got") && says.contains(takes), "{variable}={value}: {says}");
            let secret = SECRETS.contains(variable);
            let last = value.rsplit(',').next().unwrap_or(value);
            assert!(secret || says.contains(last), "{variable}: what it got is not said: {says}");
            assert!(!says.contains("planted"), "a secret is said: {says}");
        }
    }
    let tested: BTreeSet<_> = BAD.iter().map(|(variable, ..)| *variable).collect();
    let free_text = ["DEPLOYMENT_ENVIRONMENT", "OTEL_SERVICE_NAME"]; // take anything
    let untested: Vec<_> =
        DEFAULTS.iter().filter(|(name, _)| !tested.contains(name) && !free_text.contains(name)).collect();
    assert!(untested.is_empty(), "{untested:?}");
}

#[test]
fn a_value_that_is_not_utf_8_is_refused_by_name() {
    for variable in ["LISTEN_ADDR", "DATABASE_URL", "JWT_SECRET", "RUST_LOG"] {
        let says = refusal(&run(&[(variable, OsStr::from_bytes(b"planted\xff"))], &[]));
        assert!(says.contains(variable) && says.contains("UTF-8") && !says.contains("planted"), "{says}");
    }
}

#[test]
fn a_value_of_two_lines_is_still_refused_on_one() {
    for (variable, value) in [
        ("LISTEN_ADDR", "a\nb"),
        ("RUST_LOG", "a\nb"),
        ("DATABASE_URL", "a\nb://c"),
        ("DATABASE_URL", "postgres://host/tasks?sslmode=a\nb"),
        ("DATABASE_URL", "postgres://host/tasks?sslmode=require&sslrootcert=/a\nb"),
        ("CORS_ALLOWED_ORIGINS", "a\nb"),
    ] {
        let says = refusal(&run(&[(variable, OsStr::new(value))], &[]));
        assert!(says.contains(variable), "{says}");
    }
    refusal(&run(&[], &["--no-such\nflag"]));
}

#[test]
fn what_this_version_does_not_have_is_refused() {
    for variable in LATER {
        let says = refusal(&run(&[(variable, OsStr::new("https://planted@example.com"))], &[]));
        assert!(says.contains(variable) && says.contains("does not support it yet"), "{says}");
        assert!(!says.contains("planted"), "{says}");
    }
}

#[test]
fn postgres_needs_a_key() {
    let url = OsStr::new("postgres://user:planted@127.0.0.1:1/tasks");
    for environment in [vec![("DATABASE_URL", url)], vec![("DATABASE_URL", url), ("JWT_SECRET", OsStr::new(""))]] {
        let says = refusal(&run(&environment, &[]));
        assert!(
            says.contains("JWT_SECRET") && says.contains("at least 32 bytes") && !says.contains("planted"),
            "{says}"
        );
    }
}

#[test]
fn cloudwatch_needs_a_region_and_takes_it_from_wherever_the_sdk_does() {
    // So that a machine of AWS's, which would be asked, is like any other here.
    let group = [("CLOUDWATCH_LOG_GROUP", OsStr::new("g")), ("AWS_EC2_METADATA_DISABLED", OsStr::new("true"))];
    for more in [None, Some(("AWS_REGION", OsStr::new(""))), Some(("HOME", OsStr::new("/nowhere")))] {
        let environment: Vec<_> = group.into_iter().chain(more).collect();
        let says = refusal(&run(&environment, &[]));
        assert!(says.contains("AWS_REGION: got nothing") && says.contains("a region such as"), "{says}");
    }
    let home = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(home.path().join(".aws")).expect("a folder");
    std::fs::write(home.path().join(".aws/config"), "[default]\nregion = eu-west-1\n").expect("a profile");
    for (variable, value) in [
        ("AWS_REGION", OsStr::new("eu-west-1")),
        ("AWS_DEFAULT_REGION", OsStr::new("eu-west-1")),
        ("HOME", home.path().as_os_str()),
    ] {
        // What is refused next says that the region was not.
        let next = [("LISTEN_ADDR", "127.0.0.1:0"), ("DATABASE_URL", "sqlite:///dev/null/x")];
        let next = next.into_iter().map(|(variable, value)| (variable, OsStr::new(value)));
        let environment: Vec<_> = group.into_iter().chain(next).chain([(variable, value)]).collect();
        let output = run(&environment, &[]);
        assert_eq!(output.status.code(), Some(1), "{variable}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn what_is_no_command_is_refused_with_what_there_is() {
    let says = refusal(&run(&[], &["frobnicate"]));
    assert!(says.contains("frobnicate"), "{says}");
    let says = refusal(&run(&[], &["migrate", "sideways"]));
    assert!(says.contains("sideways") && ["up", "down", "status"].iter().all(|word| says.contains(word)), "{says}");
    let says = refusal(&run(&[], &["--listen-addr"]));
    assert!(says.contains("--listen-addr"), "{says}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_variable_is_an_unset_one() {
    let mut builder = task_api();
    let both = DEFAULTS.iter().map(|(variable, _)| *variable).chain(LATER.iter().copied());
    for variable in both.filter(|variable| !variable.ends_with("_ADDR")) {
        builder = builder.env(variable, "");
    }
    let process = builder.serve().await;
    process.api().await.get("/ready").await.expect(200);
    let line = process.log("started").await;
    assert_eq!((&line["environment"], &line["level"]), (&"development".into(), &"INFO".into()));
    assert!(process.directory.path().join("data/tasks.db").is_file());
    for listener in ["LISTEN_ADDR", "ADMIN_ADDR"] {
        // Its default may be taken on this machine, so that it is not refused is all that can be said.
        let mut process = task_api().env(listener, "").env("DATABASE_URL", "sqlite:///dev/null/x").start();
        assert_eq!(process.wait(SOON).await.code(), Some(1), "{}", process.output());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flag_wins_over_its_variable() {
    let builder = task_api().env("DEPLOYMENT_ENVIRONMENT", "by-variable").env("MAX_IN_FLIGHT", "nonsense");
    let process = builder.arg("--deployment-environment=by-flag").arg("--max-in-flight=5").serve().await;
    assert_eq!(process.log("started").await["environment"], "by-flag");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_machine_refuses_ends_with_1_and_one_clear_line() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("an address").to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| format!("sqlite://{}", folder.path().join(name).display());
    std::fs::write(folder.path().join("file"), "no database, but long enough to be looked at ".repeat(50))
        .expect("a file");
    std::fs::create_dir(folder.path().join("folder")).expect("a folder");
    let cases = [
        ("LISTEN_ADDR", taken.clone(), vec!["LISTEN_ADDR", &*taken]),
        ("ADMIN_ADDR", taken.clone(), vec!["ADMIN_ADDR", &*taken]),
        ("DATABASE_URL", "sqlite:///dev/null/tasks.db".into(), vec!["/dev/null"]),
        ("DATABASE_URL", path("file/tasks.db"), vec!["file"]),
        ("DATABASE_URL", path("folder"), vec!["folder", "SQLite"]),
        ("DATABASE_URL", path("file"), vec!["file", "not a database"]),
    ];
    for (variable, value, names) in cases {
        let mut process = task_api().env(variable, &value).start();
        assert_eq!(process.wait(SOON).await.code(), Some(1), "{variable}={value}\n{}", process.output());
        assert!(process.errors().is_empty(), "{:?}", process.errors());
        let errors: Vec<_> = process.logs().into_iter().filter(|line| line["level"] == "ERROR").collect();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert_eq!(errors[0]["event"], "failed");
        let says = errors[0]["error"].as_str().unwrap_or_default();
        assert!(names.iter().all(|name| says.contains(name)), "{variable}={value}: {says}");
    }
}

#[test]
fn help_tells_every_variable_and_its_default() {
    let secret = OsStr::new(SECRET);
    let environment = [
        ("JWT_SECRET", secret),
        ("SYNTHETIC_SECRET", secret),
        ("DATABASE_URL", OsStr::new("postgres://u:planted@h/d")),
    ];
    for word in ["--help", "-h"] {
        let output = run(&environment, &[word]);
        assert!(output.status.success() && output.stderr.is_empty());
        let help = String::from_utf8(output.stdout).expect("UTF-8");
        let joined = help.split_whitespace().collect::<Vec<_>>().join(" ");
        let described = |variable: &str| {
            let start =
                joined.find(&format!("{} <", flag(variable))).unwrap_or_else(|| panic!("no {variable} in\n{help}"));
            let rest = &joined[start + 2..];
            rest.split(" --").next().unwrap_or(rest).to_owned()
        };
        for (variable, default) in DEFAULTS {
            let text = described(variable);
            assert!(text.contains(&format!("[env: {variable}")), "{text}");
            assert!(text.contains(default), "{variable}: {text}");
        }
        assert!(!help.contains(SECRET) && !help.contains("planted"), "a secret is shown");
        for command in ["migrate", "openapi"] {
            assert!(joined.contains(command), "{command}");
        }
    }
}

#[test]
fn the_version_is_said() {
    let output = run(&[], &["--version"]);
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), concat!("task-api ", env!("CARGO_PKG_VERSION")));
}
