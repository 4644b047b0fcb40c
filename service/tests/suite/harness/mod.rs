//! What the tests stand on: real databases, the service in this process or as a process of its own, a client, a proxy.

pub mod app;
pub mod aws_faults;
pub mod bugsink;
mod checks;
pub mod client;
pub mod collector;
pub mod faulty;
pub mod ground;
pub mod postgres;
pub mod process;
pub mod raw;
pub mod reply;
pub mod scrape;
pub mod sentry;
pub mod sqlite;

pub use app::{Backend, TestApp};
pub use testkit::{emf, moto, proxy, skip};

/// Makes of each function two tests, `sqlite::name` and `postgres::name`; once in a file. The argument is a fresh
/// `TestApp`, or the `Backend` for a test that configures its own.
///
/// ```text
/// on_both_backends! {
///     /// A list of nothing is an empty list.
///     async fn a_new_user_has_no_tasks(app: TestApp) {
///         let ann = app.register("ann").await;
///         assert_eq!(ann.get("tasks").await.expect(200).body["items"], json!([]));
///     }
/// }
/// ```
macro_rules! on_both_backends {
    ($($(#[$attribute:meta])* async fn $name:ident($subject:ident: $type:ty) $body:block)+) => {
        $(async fn $name($subject: $type) $body)+

        mod sqlite {
            $($(#[$attribute])*
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::harness::app::prepare($crate::harness::Backend::Sqlite).await).await;
            })+
        }

        mod postgres {
            $($(#[$attribute])*
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if $crate::harness::postgres::Cluster::get().is_some() {
                    super::$name($crate::harness::app::prepare($crate::harness::Backend::Postgres).await).await;
                }
            })+
        }
    };
}

pub(crate) use on_both_backends;
