//! Request bodies that can be sent again.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::Frame;
use tonic::{Status, body::Body};

/// What is kept of a body for sending it again. Whatever is longer is sent once.
const KEPT: usize = 1 << 20;

/// A body, and what was read of it so far.
#[derive(Clone)]
pub(super) struct Replay(Arc<Mutex<Sent>>);

struct Sent {
    body: Body,
    frames: Vec<Bytes>,
    bytes: usize,
    /// More was read than is kept.
    over: bool,
}

/// One sending of it.
pub(super) struct Sending {
    sent: Replay,
    next: usize,
}

impl Sending {
    /// Of a body that is sent once.
    pub(super) fn once(body: Body) -> Self {
        Self { sent: Replay::new(body), next: 0 }
    }
}

impl Replay {
    pub(super) fn new(body: Body) -> Self {
        let sent = Sent { body, frames: Vec::new(), bytes: 0, over: false };
        Self(Arc::new(Mutex::new(sent)))
    }

    /// The body from its beginning; `None` if that is gone.
    pub(super) fn send(&self) -> Option<Sending> {
        let whole = !self.sent().over;
        whole.then(|| Sending { sent: self.clone(), next: 0 })
    }

    fn sent(&self) -> MutexGuard<'_, Sent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl http_body::Body for Sending {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let next = self.next;
        let sending = self.sent.clone();
        let mut sent = sending.sent();
        if let Some(frame) = sent.frames.get(next) {
            let frame = Frame::data(frame.clone());
            drop(sent);
            self.next += 1;
            return Poll::Ready(Some(Ok(frame)));
        }
        let frame = std::task::ready!(Pin::new(&mut sent.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
            && !sent.over
        {
            sent.bytes += data.len();
            if sent.bytes <= KEPT {
                sent.frames.push(data.clone());
                drop(sent);
                self.next += 1;
            } else {
                sent.over = true;
                sent.frames = Vec::new();
            }
        }
        Poll::Ready(frame)
    }
}
