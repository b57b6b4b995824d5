//! A sandbox on a port of its own.

use std::time::Duration;

use keystile::sandbox::{self, Options, Server};
use keystile_runtime::Drain;
use reqwest::{Client, Method, StatusCode};
use serde_json::Value;
use tokio::net::TcpListener;
use url::Url;

pub(crate) struct Running {
    pub(crate) base: Url,
    pub(crate) http: Client,
    drain: Drain,
}

impl Running {
    pub(crate) async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("bound");
        let base: Url = format!("http://{addr}").parse().expect("a URL");
        let drain = Drain::new();
        drain.spawn(sandbox::serve(
            listener,
            Server::new(&base, Options::default()).router(),
            drain.clone(),
        ));
        Self { base, http: Client::new(), drain }
    }

    pub(crate) async fn ask(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let mut request = self.http.request(method, self.base.join(path).expect("a path"));
        request = request.header("Authorization", token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.expect("answers");
        let status = response.status();
        let text = response.text().await.expect("a body");
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    pub(crate) async fn stop(self) {
        drop(self.http);
        self.drain.stop(Duration::from_secs(5), std::future::pending()).await;
    }
}
