//! What the edge writes to the log: threat 12.

use std::{
    io::Write,
    sync::{Arc, Mutex},
};

use axum::{Router, body::Body, http::Request, routing::get};
use keystile_runtime::http::{Limits, harden};
use tower::ServiceExt;
use tracing_subscriber::fmt::format::FmtSpan;

/// Everything that was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_has_neither_path_query_header_nor_what_a_panic_quotes() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(FmtSpan::FULL)
        .with_writer(move || writer.clone())
        .finish();
    // Of this thread alone, which is the one that runs the test.
    let _listening = tracing::subscriber::set_default(subscriber);
    let panics = |request: Request<Body>| async move {
        let quoted = request.headers()["authorization"].to_str().unwrap_or_default().to_owned();
        panic!("{quoted} was not expected");
        #[expect(unreachable_code, reason = "gives the handler its answer's type")]
        ""
    };
    let router =
        Router::new().route("/hooks/{token}", get(|| async {})).route("/panic", get(panics));
    let router = harden(router, &Limits::default());
    for target in ["/hooks/canary-path?key=canary-query", "/panic?key=canary-query", "/canary-path"]
    {
        let request = Request::get(target)
            .header("authorization", "Bearer canary-header")
            .header("x-canary-name", "canary-header")
            .body(Body::empty());
        let _ = router.clone().oneshot(request.expect("a request")).await;
    }
    let logged = log.0.lock().expect("not poisoned").clone();
    let logged = String::from_utf8_lossy(&logged);
    assert!(logged.contains("/hooks/{token}"), "the log is listened to: {logged}");
    assert!(logged.contains("a handler panicked"), "{logged}");
    assert!(!logged.contains("canary"), "{logged}");
}
