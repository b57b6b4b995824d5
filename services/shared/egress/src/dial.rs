//! The only place that opens a socket, and the check of every address before it.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures::future::BoxFuture;
use http::{Uri, uri::Scheme};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::{net::TcpStream, time::timeout};
use tower::{BoxError, Service, service_fn, util::BoxCloneSyncService};

use crate::{
    error::{Error, UrlFault},
    policy::Policy,
    resolve::Resolve,
};

pub(crate) type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;
pub(crate) type Connector = BoxCloneSyncService<Uri, Stream, BoxError>;

/// Connects to the host of a URI over TCP and, for https, TLS. Fails with [`Error`] where it can
/// tell why.
pub(crate) fn connector(
    policy: Arc<Policy>,
    resolver: Arc<dyn Resolve>,
    tls: ClientConfig,
) -> Connector {
    let connect_timeout = policy.limits.connect_timeout;
    let tcp = service_fn(move |uri: Uri| -> BoxFuture<'static, Result<_, Error>> {
        let (policy, resolver) = (Arc::clone(&policy), Arc::clone(&resolver));
        Box::pin(async move {
            let addresses = permitted(&policy, &*resolver, &uri).await?;
            Ok(TokioIo::new(dial(&addresses, connect_timeout).await?))
        })
    });
    let https = HttpsConnector::from((tcp, tls));
    BoxCloneSyncService::new(service_fn(move |uri: Uri| -> BoxFuture<'static, _> {
        let connecting = https.clone().call(uri);
        // A handshake may go on in the background after its request has given up: it needs an end
        // of its own.
        Box::pin(async move {
            timeout(connect_timeout, connecting)
                .await
                .unwrap_or_else(|_| Err(Error::ConnectTimeout.into()))
        })
    }))
}

/// The addresses of a URI's host that the policy lets through. A literal host and a name take the
/// same way, so there is no second one to forget.
async fn permitted(
    policy: &Policy,
    resolver: &dyn Resolve,
    uri: &Uri,
) -> Result<Vec<SocketAddr>, Error> {
    let host = uri.host().ok_or(Error::Url(UrlFault::Host))?;
    let scheme = uri.scheme().ok_or(Error::Url(UrlFault::Scheme))?;
    let port = uri.port_u16().unwrap_or(if *scheme == Scheme::HTTPS { 443 } else { 80 });
    let found = match literal(host) {
        Some(address) => vec![address],
        None => resolver.resolve(host).await.map_err(|_| Error::Unresolved)?,
    };
    let mut addresses = Vec::with_capacity(found.len());
    let mut refusal = Error::Unresolved;
    for address in found {
        let address = SocketAddr::new(address, port);
        match policy.check(scheme, host, address) {
            Ok(()) => addresses.push(address),
            Err(error) => refusal = error,
        }
    }
    if addresses.is_empty() { Err(refusal) } else { Ok(addresses) }
}

fn literal(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inside) => inside.parse().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    }
}

/// The first of `addresses` that answers. Each gets its share of the time, so that one that is
/// silent does not use up all of it.
async fn dial(addresses: &[SocketAddr], connect_timeout: Duration) -> Result<TcpStream, Error> {
    let share = connect_timeout / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    let mut failure = Error::Unresolved;
    for address in addresses {
        failure = match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Requests are written whole; waiting for more to send helps nobody.
                stream.set_nodelay(true).map_err(|error| Error::Connect(error.kind()))?;
                return Ok(stream);
            }
            Ok(Err(error)) => Error::Connect(error.kind()),
            Err(_) => Error::ConnectTimeout,
        };
    }
    Err(failure)
}

/// What a failed exchange means, told from the chain of its causes. What reads as if nobody was
/// reached is told of connecting alone: TLS may also fail on a connection that carried the request.
pub(crate) fn explain(error: &hyper_util::client::legacy::Error) -> Error {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut kind = None;
    while let Some(current) = cause {
        if let Some(own) = current.downcast_ref::<Error>() {
            return own.clone();
        }
        if current.is::<rustls::Error>() && error.is_connect() {
            return Error::Tls;
        }
        if let Some(http) = current.downcast_ref::<hyper::Error>()
            && http.is_parse_too_large()
        {
            return Error::HeadersTooLarge;
        }
        cause = match current.downcast_ref::<io::Error>() {
            Some(error) => {
                kind = Some(error.kind());
                // `source` would skip the error that it wraps.
                error.get_ref().map(|inner| -> &(dyn std::error::Error + 'static) { inner })
            }
            None => current.source(),
        };
    }
    match kind {
        Some(kind) if error.is_connect() => Error::Connect(kind),
        _ => Error::Protocol,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bracketed_and_plain_literals_are_seen() {
        for (host, address) in [("127.0.0.1", "127.0.0.1"), ("[::1]", "::1")] {
            assert_eq!(literal(host), Some(address.parse().unwrap()));
        }
        for host in ["localhost", "127.0.0.1.example.com", "[127.0.0.1]", "[::1"] {
            assert_eq!(literal(host), None, "{host}");
        }
    }
}
