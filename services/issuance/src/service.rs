//! Putting issuance together.

use std::{
    collections::HashSet,
    mem,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use keystile_contract::{SealKeys, Transport};
use keystile_domain::{Clock, Entropy, Incarnation, Position, token::TokenKeyRing};
use time::OffsetDateTime;
use tokio::{
    sync::{Semaphore, watch},
    time::MissedTickBehavior,
};
use tokio_util::sync::CancellationToken;

use crate::{
    Config, Error, barrier::Barrier, facts::READERS, lease::Terms, log::Leaving, replicas::News,
    rpc, store::Store,
};

/// How often the head is read, for changes of other processes whose news was lost.
const HEAD_POLL: Duration = Duration::from_millis(200);
/// How often followers that were answered are recorded, and silent ones looked for.
const RETIRE_INTERVAL: Duration = Duration::from_secs(2);

/// What issuance works with.
pub struct Deps {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Opens actors, seals capabilities.
    pub seal_keys: SealKeys,
    /// Mints tokens.
    pub token_keys: TokenKeyRing,
    /// The way to vault.
    pub vault: Transport,
    /// The rows. [`crate::store::sql::SqlStore`] outside tests.
    pub store: Arc<dyn Store>,
}

/// Issuance. Clones share everything.
#[derive(Clone)]
pub struct Service {
    pub(crate) config: Arc<Config>,
    pub(crate) terms: Terms,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) seal_keys: Arc<SealKeys>,
    pub(crate) token_keys: Arc<TokenKeyRing>,
    pub(crate) vault: Transport,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) barrier: Arc<Barrier>,
    /// The head of the log, as far as this process knows.
    pub(crate) head: Arc<watch::Sender<Position>>,
    pub(crate) news: Arc<News>,
    pub(crate) readers: Arc<Semaphore>,
    answered: Arc<Mutex<HashSet<Incarnation>>>,
    reachable: Arc<AtomicBool>,
}

/// Builds issuance over a store whose schema is up to date.
///
/// # Errors
/// [`Error::Store`] if the store cannot be read.
pub async fn build(config: Config, deps: Deps) -> Result<Service, Error> {
    let terms = config.terms();
    let barrier = Barrier::new(Arc::clone(&deps.clock), terms);
    let epoch = deps.store.epoch().await?;
    barrier.observe(&epoch);
    let service = Service {
        terms,
        clock: deps.clock,
        entropy: deps.entropy,
        seal_keys: Arc::new(deps.seal_keys),
        token_keys: Arc::new(deps.token_keys),
        vault: deps.vault,
        store: deps.store,
        barrier: Arc::new(barrier),
        head: Arc::new(watch::Sender::new(epoch.position())),
        news: Arc::default(),
        readers: Arc::new(Semaphore::new(READERS)),
        answered: Arc::default(),
        reachable: Arc::new(AtomicBool::new(true)),
        config: Arc::new(config),
    };
    if service.config.embedded {
        let earlier = service.store.followers().await?;
        // One that ran elsewhere, as before this became one process, may hold a lease.
        let earlier = earlier.iter().filter(|follower| follower.local);
        let earlier: Vec<_> = earlier.map(|follower| follower.incarnation).collect();
        service.remove_followers(&earlier).await?;
    }
    Ok(service)
}

impl Service {
    /// The gRPC services, bare: deadlines and the identity check are the stack's around them.
    #[must_use]
    pub fn grpc(&self) -> tonic::service::Routes {
        rpc::routes(self)
    }

    /// Runs what issuance does by itself, until stopped: exchanges news with other processes and
    /// follows the head for their changes, retires silent followers, settles a new history.
    pub async fn run(self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.tell() => {}
            () = self.hear() => {}
            () = self.look_after() => {}
        }
    }

    async fn look_after(&self) {
        let mut leaving = Leaving::default();
        let mut head = tokio::time::interval(HEAD_POLL);
        let mut retire = tokio::time::interval(RETIRE_INTERVAL);
        for interval in [&mut head, &mut retire] {
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval.reset();
        }
        loop {
            tokio::select! {
                _ = head.tick() => {
                    let result = self.follow_head().await;
                    self.reachable.store(result.is_ok(), Ordering::Relaxed);
                }
                _ = retire.tick() => {
                    if let Err(error) = self.retire(&mut leaving).await {
                        tracing::warn!(%error, "followers could not be looked after");
                    }
                }
            }
        }
    }

    async fn follow_head(&self) -> Result<(), Error> {
        let epoch = self.store.epoch().await?;
        self.barrier.observe(&epoch);
        self.announce(epoch.position());
        if epoch.settled != epoch.history && self.barrier.ripe() == Some(epoch.history) {
            self.store.settle(epoch.history).await?;
        }
        Ok(())
    }

    /// Can issuance answer?
    ///
    /// # Errors
    /// What is missing.
    pub fn ready(&self) -> Result<(), String> {
        if self.reachable.load(Ordering::Relaxed) {
            Ok(())
        } else {
            Err("the database of issuance cannot be read".to_owned())
        }
    }

    /// The wall clock, as finely as it is stored.
    pub(crate) fn now(&self) -> OffsetDateTime {
        as_stored(self.clock.now())
    }

    /// Wakes the streams: the log reaches `position`, or goes on in another history.
    pub(crate) fn announce(&self, position: Position) {
        self.head.send_if_modified(|head| {
            let news = !head.reaches(&position);
            if news {
                *head = position;
            }
            news
        });
    }

    /// Notes that followers were answered.
    pub(crate) fn note_answered(&self, incarnations: impl IntoIterator<Item = Incarnation>) {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner).extend(incarnations);
    }

    /// Who was answered since this was last asked.
    pub(crate) fn take_answered(&self) -> Vec<Incarnation> {
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        mem::take(&mut *answered).into_iter().collect()
    }
}

/// An instant as finely as the store keeps it, so that what is read back equals what was written.
pub(crate) fn as_stored(at: OffsetDateTime) -> OffsetDateTime {
    at.replace_nanosecond(at.microsecond() * 1_000).unwrap_or(at)
}
