//! What the command line takes, and which code says that it does not.

use testkit::process::{Builder, Process};

use crate::rig::SOON;

async fn ended(arguments: &[&str]) -> (i32, Process) {
    let mut builder = Builder::new(env!("CARGO_BIN_EXE_canary"));
    for argument in arguments {
        builder = builder.arg(argument);
    }
    let mut process = builder.start();
    (process.wait(SOON).await.code().unwrap(), process)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_line_that_cannot_be_used_ends_with_64_and_one_line() {
    for (arguments, says) in [
        (&["run"][..], "--target"),
        (&["fly"], "fly"),
        (&["run", "--target", "http://tasks.example.com"], "would send a password in the clear"),
        (&["run", "--target", "https://a", "--resolve", "b=127.0.0.1"], "the target's name is a"),
        (&["run", "--target", "https://a", "--deadline", "soon"], "30s, 5m, 1h"),
        (&["run", "--target", "https://a", "--deadline", "4s"], "takes 5s to 9m"),
        (&["run", "--target", "https://a", "--deadline", "10m"], "takes 5s to 9m"),
        (&["run", "--target", "https://a", "--retries", "9"], "0..=3"),
        (&["run", "--retry", "1"], "is --retries meant?"),
        (&["serve", "--target", "https://a", "--interval", "60"], "30s, 5m, 1h"),
        (&["history"], "--history"),
    ] {
        let (code, process) = ended(arguments).await;
        assert_eq!((code, process.errors().len()), (64, 1), "{arguments:?}: {}", process.output());
        assert!(process.output().contains(says), "{arguments:?}: {}", process.output());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_command_line_points_to_and_is_not_there_ends_with_3() {
    for (arguments, says) in [
        (&["run", "--target", "http://127.0.0.1:1"][..], "there are no credentials: set CANARY_EMAIL"),
        (&["run", "--target", "http://127.0.0.1:1", "--slo", "none.toml"], "none.toml: cannot be read"),
        (&["check-config", "--target", "https://a", "--ca-file", "none.pem"], "--ca-file none.pem: "),
        (&["history", "--history", "none"], "--history none: No such file"),
    ] {
        let (code, process) = ended(arguments).await;
        assert_eq!((code, process.errors().len()), (3, 1), "{arguments:?}: {}", process.output());
        assert!(process.output().contains(says), "{arguments:?}: {}", process.output());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_config_says_what_follows_from_the_objectives() {
    let arguments = ["check-config", "--target", "http://127.0.0.1:1"];
    let mut builder = Builder::new(env!("CARGO_BIN_EXE_canary")).env("CANARY_EMAIL", "a@b").env("CANARY_PASSWORD", "x");
    for argument in arguments {
        builder = builder.arg(argument);
    }
    let mut process = builder.start();
    assert!(process.wait(SOON).await.success(), "{}", process.output());
    let slo = slo::Slo::read(&testkit::root().join("slo.toml")).unwrap();
    let seconds = |seconds: f64| format!("{:?}", std::time::Duration::from_secs_f64(seconds));
    assert!(
        process.output().contains(&format!("answer       {}", seconds(slo.requests.latency))),
        "{}",
        process.output()
    );
    assert!(
        process.output().contains(&format!("step         {}", seconds(slo.canary.latency))),
        "{}",
        process.output()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn help_names_every_command_and_every_exit_code() {
    let (code, process) = ended(&["--help"]).await;
    let help = process.output();
    assert_eq!(code, 0);
    for word in ["run", "serve", "history", "check-config", "0 OK", "1 DEGRADED", "2 FAILED", "3 ERROR", "64"] {
        assert!(help.contains(word), "{word}: {help}");
    }
}
