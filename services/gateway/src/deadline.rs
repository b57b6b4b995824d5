//! The time that one request has, shared by every call made for it.

use std::{sync::Arc, time::Duration};

use keystile_contract::Failure;
use keystile_domain::{Clock, ErrorKind, Tick};
use tonic::{Request, Response, Status};

/// When a request's time is over.
#[derive(Clone)]
pub(crate) struct Deadline {
    clock: Arc<dyn Clock>,
    ends: Tick,
}

impl Deadline {
    /// The deadline of a request that begins now and has `budget`.
    pub(crate) fn new(clock: Arc<dyn Clock>, budget: Duration) -> Self {
        let ends = clock.tick() + budget;
        Self { clock, ends }
    }

    /// Sends `request` with what is left of the time as its `grpc-timeout`, and stops waiting when
    /// that is over, whatever the far end does.
    ///
    /// # Errors
    /// What the far end answered, or kind timeout.
    pub(crate) async fn call<Q, A, F>(
        &self,
        mut request: Request<Q>,
        send: impl FnOnce(Request<Q>) -> F,
    ) -> Result<A, Failure>
    where
        F: Future<Output = Result<Response<A>, Status>>,
    {
        let left = self.ends.since(self.clock.tick());
        request.set_timeout(left);
        match tokio::time::timeout(left, send(request)).await {
            Ok(answer) => Ok(answer?.into_inner()),
            Err(_) => Err(Failure::new(ErrorKind::Timeout, "timeout", "the deadline passed")),
        }
    }
}
