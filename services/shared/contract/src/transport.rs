//! One boxed transport under every generated client: a channel to another process, or the
//! generated server itself in this one.

use std::sync::{Arc, OnceLock};

use tonic::{Status, body::Body};
use tower::{
    BoxError, Service, ServiceExt,
    util::{BoxCloneSyncService, MapRequest},
};

use crate::Identity;

/// What a generated client sends over.
pub type Transport = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, Error>;

/// A call did not reach the far end. A type of its own: behind a bare [`BoxError`] the compiler
/// cannot see that a call through a generated client is `Send` (rust-lang/rust#100013).
#[derive(Debug, thiserror::Error)]
#[error("the call did not reach the service")]
pub struct Error(#[source] BoxError);

/// A transport to `server` in this process, calling as `identity`.
///
/// `server` must be wrapped in the same layers as it is behind a socket: deadlines, identity
/// check, errors.
pub fn local<S>(server: S, identity: Identity) -> Transport
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
{
    let stamped = MapRequest::new(server, move |mut request: http::Request<Body>| {
        request.extensions_mut().insert(identity.clone());
        request
    });
    BoxCloneSyncService::new(stamped.map_err(|error| Error(error.into())))
}

/// A transport over `channel` to another process.
pub fn remote<S>(channel: S) -> Transport
where
    S: Service<http::Request<Body>, Response = http::Response<Body>>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
{
    BoxCloneSyncService::new(channel.map_err(|error| Error(error.into())))
}

/// The far end of a [`deferred`] transport.
#[derive(Debug, Clone)]
pub struct Deferred(Arc<OnceLock<Transport>>);

impl Deferred {
    /// Connects it. Later calls change nothing.
    pub fn connect(&self, transport: Transport) {
        let _ = self.0.set(transport);
    }
}

/// A transport whose far end is named later, so that two services in one process can each be
/// built with a way to the other. Until then every call is answered UNAVAILABLE.
#[must_use]
pub fn deferred() -> (Transport, Deferred) {
    let far = Arc::new(OnceLock::<Transport>::new());
    let near = Arc::clone(&far);
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let far = near.get().cloned();
        async move {
            match far {
                Some(far) => far.oneshot(request).await,
                None => Ok(Status::unavailable("the service is not up yet").into_http()),
            }
        }
    });
    (BoxCloneSyncService::new(service), Deferred(far))
}
