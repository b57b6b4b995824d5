//! Answers of a server that stops: what is still being streamed ends in time, and says why.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use http_body::{Frame, SizeHint};
use tokio_util::sync::CancellationToken;
use tonic::{Status, body::Body};

/// How long a stream goes on once the process stops, so that what was asked is answered.
const STREAM_GRACE: Duration = Duration::from_secs(1);

/// A body that ends as UNAVAILABLE when it has nothing to say long after `stopping`. Its reader
/// then asks another replica.
pub(super) struct Ending {
    body: Body,
    stopping: CancellationToken,
    /// Made when the body is waited for, which that of a single answer never is.
    over: Option<BoxFuture<'static, ()>>,
    ended: bool,
}

impl Ending {
    pub(super) fn new(body: Body, stopping: CancellationToken) -> Self {
        Self { body, stopping, over: None, ended: false }
    }
}

impl http_body::Body for Ending {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        let stopping = self.stopping.clone();
        let over = self.over.get_or_insert_with(|| {
            async move {
                stopping.cancelled().await;
                tokio::time::sleep(STREAM_GRACE).await;
            }
            .boxed()
        });
        if over.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.ended = true;
        let mut trailers = http::HeaderMap::new();
        let told = Status::unavailable("the service stops").add_header(&mut trailers);
        Poll::Ready(Some(told.map(|()| Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
