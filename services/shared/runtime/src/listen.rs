//! The accept loop under the HTTP and the gRPC listeners.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::body::Body;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::Drain;

/// How long the loop rests when the system is out of descriptors.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// What one connection may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) header_timeout: Duration,
    pub(crate) header_count: usize,
    pub(crate) header_bytes: usize,
    pub(crate) connections: usize,
    pub(crate) streams: u32,
    pub(crate) http2_only: bool,
}

/// Accepts until the drain's soft phase; connections then finish the requests they have. `open`
/// makes of a connection what is read and written, and the service that answers on it; it has the
/// time for a request's head, and less where slots are short.
pub(crate) async fn accept<F, O, I, S>(
    listener: TcpListener,
    open: F,
    drain: &Drain,
    bounds: Bounds,
) where
    F: Fn(TcpStream, SocketAddr) -> O,
    O: Future<Output = io::Result<(I, S)>> + Send + 'static,
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: tower::Service<http::Request<Incoming>, Response = http::Response<Body>>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    S::Error: Into<tower::BoxError>,
{
    let stopping = drain.stopping();
    let slots = Arc::new(Semaphore::new(bounds.connections));
    let opening = Opening::default();
    loop {
        // A slot first: beyond the cap, clients wait in the system's queue, not in our memory.
        let accepted = async {
            if slots.available_permits() == 0 {
                opening.end_oldest();
            }
            let slot = Arc::clone(&slots).acquire_owned().await;
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            () = stopping.cancelled() => return,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Answers are small and written whole: waiting for more only delays them.
                let _ = stream.set_nodelay(true);
                let opens = open(stream, peer);
                let (stopping, stays) = (drain.stopping(), drain.clone());
                let place = opening.begin();
                drain.spawn(async move {
                    let opened = tokio::select! {
                        opened = tokio::time::timeout(bounds.header_timeout, opens) => opened,
                        () = stopping.cancelled() => return,
                        () = place.ended() => return,
                    };
                    drop(place);
                    match opened {
                        Ok(Ok((io, service))) => connection(io, service, stays, bounds).await,
                        Ok(Err(error)) => tracing::debug!(%error, %peer, "refused a connection"),
                        Err(_) => tracing::debug!(%peer, "a connection was not opened in time"),
                    }
                    drop(slot);
                });
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

/// The connections whose peers have not shown who they are, oldest first. When slots are short the
/// oldest makes room: whoever means to speak does so within milliseconds, so a flood of silent
/// connections evicts itself.
#[derive(Clone, Default)]
struct Opening(Arc<Mutex<(u64, BTreeMap<u64, CancellationToken>)>>);

/// A place among them, until dropped.
struct Place {
    opening: Opening,
    number: u64,
    end: CancellationToken,
}

impl Opening {
    fn with<T>(&self, work: impl FnOnce(&mut (u64, BTreeMap<u64, CancellationToken>)) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn begin(&self) -> Place {
        let end = CancellationToken::new();
        let number = self.with(|(next, places)| {
            *next += 1;
            places.insert(*next, end.clone());
            *next
        });
        Place { opening: self.clone(), number, end }
    }

    fn end_oldest(&self) {
        if let Some((_, end)) = self.with(|(_, places)| places.pop_first()) {
            end.cancel();
        }
    }
}

impl Place {
    async fn ended(&self) {
        self.end.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.opening.with(|(_, places)| places.remove(&self.number));
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

async fn connection<I, S>(io: I, service: S, drain: Drain, bounds: Bounds)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: tower::Service<http::Request<Incoming>, Response = http::Response<Body>>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    S::Error: Into<tower::BoxError>,
{
    let began = Arc::new(AtomicBool::new(false));
    let first = Arc::clone(&began);
    let service = hyper::service::service_fn(move |request| {
        first.store(true, Ordering::Relaxed);
        service.clone().oneshot(request)
    });
    let builder = builder(bounds);
    let serving = builder.serve_connection(TokioIo::new(io), service);
    tokio::pin!(serving);
    // hyper's own timer starts once it knows the protocol; this one covers the bytes before.
    let silence = tokio::time::sleep(bounds.header_timeout);
    tokio::pin!(silence);
    let stopping = drain.stopping();
    let (mut waiting, mut draining) = (true, false);
    loop {
        tokio::select! {
            ended = serving.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(error = &*error, "a connection ended early");
                }
                return;
            }
            () = silence.as_mut(), if waiting => {
                waiting = false;
                if !began.load(Ordering::Relaxed) {
                    return;
                }
            }
            () = stopping.cancelled(), if !draining => {
                draining = true;
                serving.as_mut().graceful_shutdown();
            }
        }
    }
}

fn builder(bounds: Bounds) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.header_timeout)
        // One more than allowed, so that the refusal is ours and says why.
        .max_headers(bounds.header_count + 1)
        .max_buf_size((2 * bounds.header_bytes).max(64 * 1024));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(2 * bounds.header_bytes).unwrap_or(u32::MAX))
        .max_concurrent_streams(bounds.streams)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20))
        // Rapid reset (CVE-2023-44487): a client that keeps cancelling is cut off.
        .max_pending_accept_reset_streams(20)
        .max_local_error_reset_streams(256);
    if bounds.http2_only { builder.http2_only() } else { builder }
}
