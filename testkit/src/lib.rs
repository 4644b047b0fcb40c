//! What the tests of every crate stand on: real servers, and programs of the workspace as an operator runs them.
//!
//! Each server takes a free port and a temporary directory, and is gone with the value that holds it, also when the test
//! is killed. Nothing but tests and benches depends on this crate: it panics where a test should fail.
#![expect(clippy::expect_used, reason = "a test's ground that does not hold fails the test, with this reason")]
#![expect(clippy::disallowed_methods, reason = "a test has no configuration of its own, and may wait")]

pub mod certificates;
pub mod emf;
pub mod held;
pub mod localstack;
pub mod moto;
pub mod nginx;
pub mod postgres;
pub mod process;
pub mod prometheus;
pub mod proxy;
mod supervisor;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

/// The repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate is a folder of the workspace")
}

/// An address on loopback that was free a moment ago.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("a bound address")
}

/// A program, in the environment that `scripts/install-test-tools` makes or on the path.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own = std::iter::once(root().join(".tools/python/bin"));
    own.chain(std::env::split_paths(&path)).map(|directory| directory.join(name)).find(|found| found.is_file())
}

/// Says that a component is missing and that something goes untested; fails where everything must be present.
pub fn skip(component: &str) {
    let required = std::env::var_os("REQUIRE_REAL").is_some_and(|value| value == "1");
    assert!(!required, "{component} is not installed and REQUIRE_REAL=1: run scripts/install-test-tools");
    // Written past the test runner, which would swallow it: a skipped test must not look like one that passed.
    let text = format!("\nSKIPPED: {component} is not installed; run scripts/test, which installs it\n");
    let _ = std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes());
}
