//! A server that says what is not so is found out, whatever it lies about.

use std::collections::BTreeSet;
use std::path::Path;

use loadtest::api::of_call;
use loadtest::client::{Connection, Connector};
use loadtest::fixture::{Fault, Fixture, Lie};
use loadtest::journey::Judged;
use loadtest::leftovers::Notes;
use loadtest::profile::Profile;
use loadtest::random::Random;
use loadtest::stage::{Site, Stage};
use loadtest::target::Target;
use tokio::sync::watch;

/// What is said of a server over some hundred requests, one after another.
async fn violations(lie: Option<Lie>, folder: &Path) -> BTreeSet<String> {
    let server = Fixture::start(Fault { lie, ..Fault::default() }).expect("a port and a thread");
    let connector = Connector::new(Target::parse(&server.url()).expect("an address")).expect("a connector");
    let site = Site { connector: connector.clone(), metrics: None, synthetic_secret: None, notes: Notes::new(folder) };
    let (_sender, stop) = watch::channel(false);
    let mut profile = Profile::read(None).expect("the default profile is valid");
    (profile.users, profile.tasks) = (3, 300);
    let stage = Stage::set_up(&site, profile, 1, &stop, &mut |_| {}).await.expect("a ground");
    let world = stage.ground.world.clone();
    let mut connection: Connection = connector.connect().await.unwrap_or_else(|_| panic!("no connection"));
    let mut found = BTreeSet::new();
    for number in 0..300 {
        let call = world.next(&mut Random::part(1, number));
        let answer = connection.send(of_call(&connector, &world.clients[call.client], &call)).await;
        let answer = answer.unwrap_or_else(|_| panic!("no answer to {}", call.path));
        if let Judged::Violation(text) = world.settle(&call, Some(&answer)) {
            found.insert(text);
        }
    }
    stage.leave(&stop).await.expect("nothing is left");
    assert_eq!(server.projects(), 0);
    found
}

#[tokio::test]
async fn every_lie_is_a_violation_and_the_truth_is_none() {
    let folder = tempfile::TempDir::new().expect("a directory");
    assert_eq!(violations(None, folder.path()).await, BTreeSet::new());
    for lie in Lie::ALL {
        let expected = match lie {
            Lie::AnotherTask => "get: another task than the one asked for",
            Lie::OldVersion => "get: another version than the one written last",
            Lie::EmptyPages => "list: nothing where there are tasks",
            Lie::EmptyNextPage => "page: nothing where there are tasks",
            Lie::Gaps => "list: tasks are missing",
            Lie::WrongOrder => "list: not in the order asked for",
            Lie::SamePage => "page: a task twice",
            Lie::AnyTask => "filter: a task that was not asked for",
            Lie::AnyHit => "search: a task that was not asked for",
            Lie::AnotherPriority => "create: other fields than those sent",
            Lie::HalfAChange => "patch: the change is not in the answer",
            Lie::NothingDeleted => "a task that was deleted",
        };
        let found = violations(Some(lie), folder.path()).await;
        assert!(found.iter().any(|text| text.contains(expected)), "{lie:?}: {found:?}");
    }
    let found = violations(Some(Lie::EmptyPages), folder.path()).await;
    for operation in ["filter", "search"] {
        assert!(found.contains(&format!("{operation}: nothing where there are tasks")), "{operation}: {found:?}");
    }
}
