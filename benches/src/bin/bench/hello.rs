//! axum with one route and nothing else: the floor of a request that needs no database.

use std::net::SocketAddr;

use axum::Router;
use axum::routing::get;
use tokio::net::TcpListener;

/// What every measured service is told.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(env = "LISTEN_ADDR")]
    listen: SocketAddr,
}

/// Serves until killed.
pub(crate) async fn serve(args: Args) -> anyhow::Result<()> {
    let router = Router::new().route("/", get(|| async { "Hello, World!" }));
    Ok(axum::serve(TcpListener::bind(args.listen).await?, router).await?)
}
