//! The listener: bounded connections, a bounded time for each request's head, and an orderly end.
//!
//! HTTP/1.1 in the clear: TLS belongs to the reverse proxy in front.
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tower::Service as _;

use super::ApiState;

/// Pause after `accept` failed, as it does when the process has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// After [`super::Admission::stop`] answers under way get so long.
const LAST_ANSWERS: Duration = Duration::from_secs(20);

/// Serves until [`super::Admission::stop`], then lets the answers under way leave.
///
/// While the server only drains it goes on: new calls get 503, those that wait for a live call get its end.
pub async fn serve(listener: TcpListener, router: Router, state: ApiState) {
    let limits = state.config().limits.clone();
    let places = Arc::new(Semaphore::new(limits.connections_max));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            () = state.admission().stopping() => break,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, peer, place)) => {
                let head_timeout = Duration::from_secs(limits.head_timeout_s);
                let connection = Connection {
                    stream,
                    peer,
                    head_timeout,
                    _place: place,
                };
                connections.spawn(connection.serve(router.clone(), state.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(LAST_ANSWERS, ended).await.is_err() {
        tracing::warn!("HTTP connections were cut at shutdown");
    }
}

/// First a place, then a connection: what cannot be served waits in the kernel's backlog.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, place))
}

struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    head_timeout: Duration,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    async fn serve(self, router: Router, state: ApiState) {
        // Small answers must not wait for a delayed ACK.
        if let Err(error) = self.stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY was not set");
        }
        let peer = self.peer;
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            router.clone().call(request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.head_timeout)
            .serve_connection(TokioIo::new(self.stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = state.admission().stopping() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::trace!(%error, "connection ended");
        }
    }
}
