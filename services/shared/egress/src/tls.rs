//! TLS towards outside apps: TLS 1.2 and 1.3, no client certificate.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, crypto::ring};

use crate::error::Error;

/// Trusts what the system trusts (`SSL_CERT_FILE` and `SSL_CERT_DIR` included, which is how an
/// operator adds a certificate authority of their own), or else, on a system without a trust
/// store such as a bare container, Mozilla's list.
pub(crate) fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

/// Names its cryptography itself, so that no process-wide default is needed.
pub(crate) fn config(roots: RootCertStore) -> Result<ClientConfig, Error> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|_| Error::Setup)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, net::IpAddr, time::Duration};

    use async_trait::async_trait;
    use bytes::Bytes;
    use http::{HeaderMap, Method, Version};
    use http_body_util::Full;
    use hyper::{body::Incoming, service::service_fn};
    use hyper_util::{
        rt::{TokioExecutor, TokioIo},
        server::conn::auto,
    };
    use rcgen::CertifiedKey;
    use rustls::{ServerConfig, pki_types::PrivateKeyDer};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::{Allow, Client, Credential, Policy, Request, Resolve, Unresolved};

    struct Loopback;

    #[async_trait]
    impl Resolve for Loopback {
        async fn resolve(&self, _: &str) -> Result<Vec<IpAddr>, Unresolved> {
            Ok(vec![[127, 0, 0, 1].into()])
        }
    }

    /// A server for `api.example.com` that speaks these protocols; its port, and who trusts it.
    async fn server(protocols: &[&str]) -> (u16, RootCertStore) {
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["api.example.com".to_owned()]).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let Ok(stream) = acceptor.accept(stream).await else { continue };
                let answer = service_fn(|request: http::Request<Incoming>| async move {
                    let version = match request.version() {
                        Version::HTTP_2 => "h2",
                        _ => "http/1.1",
                    };
                    let seen = request.headers().get("authorization").is_some();
                    let text = format!("{version} {seen}");
                    Ok::<_, Infallible>(http::Response::new(Full::new(Bytes::from(text))))
                });
                let connection = auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), answer)
                    .into_owned();
                tokio::spawn(connection);
            }
        });
        (port, roots)
    }

    async fn fetch(roots: RootCertStore, host: &str, port: u16) -> Result<Bytes, Error> {
        let allow = Allow { nets: vec!["127.0.0.1/32".parse().unwrap()], ..Allow::default() };
        let policy = Policy { allow, ..Policy::default() };
        let client = Client::with_tls(policy, Arc::new(Loopback), config(roots)?);
        let request = Request {
            method: Method::GET,
            url: format!("https://{host}:{port}/").parse().unwrap(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            timeout: Duration::from_secs(10),
        };
        let answer = client.send(request, &Credential::Bearer("swordfish".into())).await?;
        answer.body.bytes_limited(100).await
    }

    #[tokio::test]
    async fn http_2_and_1_1_are_spoken_over_tls() {
        for protocol in ["h2", "http/1.1"] {
            let (port, roots) = server(&[protocol]).await;
            let answer = fetch(roots, "api.example.com", port).await.unwrap();
            assert_eq!(answer, format!("{protocol} true"));
        }
    }

    #[tokio::test]
    async fn a_certificate_of_nobody_trusted_or_of_another_name_is_refused() {
        let (port, roots) = server(&["h2"]).await;
        let other = fetch(roots.clone(), "other.example.com", port).await;
        assert_eq!(other, Err(Error::Tls));
        let unknown = fetch(system_roots(), "api.example.com", port).await;
        assert_eq!(unknown, Err(Error::Tls));
    }

    #[test]
    fn somebody_is_trusted_on_any_machine() {
        assert!(!system_roots().is_empty());
    }
}
