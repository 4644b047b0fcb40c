//! The service as a process of its own.

pub use testkit::process::{Builder, Process, Signal};

use super::client::Api;

/// A command line for the binary under test, both of its listeners on free ports.
pub fn task_api() -> Builder {
    let builder = Builder::new(env!("CARGO_BIN_EXE_task-api"));
    builder.env("LISTEN_ADDR", "127.0.0.1:0").env("ADMIN_ADDR", "127.0.0.1:0")
}

/// Clients of a process that serves.
pub trait Serving {
    /// A client of the API listener; waits for the service to start.
    async fn api(&self) -> Api;

    /// A client of the admin listener; waits for the service to start.
    async fn admin(&self) -> Api;
}

impl Serving for Process {
    async fn api(&self) -> Api {
        Api::new(self.address("api").await)
    }

    async fn admin(&self) -> Api {
        Api::new(self.address("admin").await)
    }
}
