//! A real PostgreSQL with the service's tables.

use service::store::migrate;
pub use testkit::postgres::{Cluster, Database, Options, Private};

/// A database of the test's own with all migrations applied.
pub async fn migrated(cluster: &Cluster) -> Database {
    cluster
        .create_database(async |url| {
            migrate::run(&url, migrate::Command::Up).await.expect("the migrations apply");
        })
        .await
}
