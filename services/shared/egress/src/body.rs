//! The body of an answer, as it arrives.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::time::Sleep;

use crate::{error::Error, gate::Pass, scrub::Scrubber};

/// The body of an answer: at most as large and as late as the limits say, and without the
/// credential that the request carried. An error ends it.
pub struct Body {
    /// Gone at the end, and with it the connection and the place at the gate.
    open: Option<Open>,
    scrubber: Option<Scrubber>,
    left: usize,
    limit: usize,
}

struct Open {
    incoming: Incoming,
    deadline: Pin<Box<Sleep>>,
    _pass: Pass,
}

impl Body {
    pub(crate) fn new(
        incoming: Incoming,
        deadline: Pin<Box<Sleep>>,
        pass: Pass,
        scrubber: Option<Scrubber>,
        limit: usize,
    ) -> Self {
        Self { open: Some(Open { incoming, deadline, _pass: pass }), scrubber, left: limit, limit }
    }

    /// The whole body, if it has at most `max` bytes.
    pub async fn bytes_limited(mut self, max: usize) -> Result<Bytes, Error> {
        let mut whole = BytesMut::new();
        while let Some(piece) = self.next().await {
            let piece = piece?;
            if piece.len() > max - whole.len() {
                return Err(Error::ResponseTooLarge { limit: max });
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }

    /// The next piece of data before scrubbing; `None` at the end.
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        let Some(open) = &mut self.open else {
            return Poll::Ready(None);
        };
        loop {
            if open.deadline.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Some(Err(Error::Timeout)));
            }
            let frame = match ready!(Pin::new(&mut open.incoming).poll_frame(cx)) {
                None => return Poll::Ready(None),
                Some(Err(_)) => return Poll::Ready(Some(Err(Error::Protocol))),
                Some(Ok(frame)) => frame,
            };
            // Trailers end here: they are headers that nobody checked.
            if let Ok(data) = frame.into_data() {
                let Some(left) = self.left.checked_sub(data.len()) else {
                    return Poll::Ready(Some(Err(Error::ResponseTooLarge { limit: self.limit })));
                };
                self.left = left;
                return Poll::Ready(Some(Ok(data)));
            }
        }
    }
}

impl Stream for Body {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        while self.open.is_some() {
            let piece = match ready!(self.poll_data(cx)) {
                Some(Err(error)) => {
                    self.open = None;
                    return Poll::Ready(Some(Err(error)));
                }
                Some(Ok(data)) => match &mut self.scrubber {
                    Some(scrubber) => scrubber.push(&data).into(),
                    None => data,
                },
                None => {
                    self.open = None;
                    self.scrubber.as_mut().map(Scrubber::finish).unwrap_or_default().into()
                }
            };
            if !piece.is_empty() {
                return Poll::Ready(Some(Ok(piece)));
            }
        }
        Poll::Ready(None)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("ended", &self.open.is_none()).finish_non_exhaustive()
    }
}
