//! One look-up for all who ask about the same token at the same time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use futures::{FutureExt, future::Shared};
use keystile_domain::token::Digest;
use tokio::sync::oneshot;
use tracing::Instrument;

use crate::{Error, l1::DigestPrefix, lookup::Found};

type Outcome = Result<Found, Error>;

/// When a look-up began, seen from who uses its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Began {
    /// After it was asked for: its facts hold every change that had returned by then.
    Since,
    /// Before: its facts are used only under a current lease.
    Earlier,
}

/// The look-ups under way.
#[derive(Default)]
pub(crate) struct Flights(Mutex<HashMap<Digest, Shared<oneshot::Receiver<Outcome>>, DigestPrefix>>);

impl Flights {
    /// Waits for the look-up of `digest` that is under way, or for `lookup`, which goes on even if
    /// whoever started it leaves.
    pub(crate) async fn join<F>(
        self: &Arc<Self>,
        digest: Digest,
        lookup: impl FnOnce() -> F,
    ) -> (Outcome, Began)
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let (flight, began) = self.enter(digest, lookup);
        // The sender is gone without a word only if the look-up panicked.
        let outcome = flight.await.unwrap_or(Err(Error::Defect("a look-up died")));
        (outcome, began)
    }

    fn enter<F>(
        self: &Arc<Self>,
        digest: Digest,
        lookup: impl FnOnce() -> F,
    ) -> (Shared<oneshot::Receiver<Outcome>>, Began)
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get(&digest) {
            return (flight.clone(), Began::Earlier);
        }
        let (land, landed) = oneshot::channel();
        let landed = landed.shared();
        flights.insert(digest, landed.clone());
        drop(flights);
        let (leave, lookup) = (Leave { flights: Arc::clone(self), digest }, lookup());
        let flight = async move {
            let outcome = lookup.await;
            // Left first, so that nobody joins what is over.
            drop(leave);
            let _ = land.send(outcome);
        };
        tokio::spawn(flight.in_current_span());
        (landed, Began::Since)
    }
}

/// Takes a flight off the list, also if it panics.
struct Leave {
    flights: Arc<Flights>,
    digest: Digest,
}

impl Drop for Leave {
    fn drop(&mut self) {
        self.flights.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.digest);
    }
}
