//! Asking issuance: admission, single flight, proof, and what is kept of the answer.

use std::{num::NonZero, sync::Arc, time::Duration};

use futures::FutureExt;
use keystile_contract::{
    Failure, Transport,
    convert::{from_key_facts, required_position},
    proto::issuance::v1::{LookupRequest, LookupResponse, fact_service_client::FactServiceClient},
};
use keystile_domain::{Clock, Position, facts::KeyFacts, token::Genuine};
use keystile_follower::Follower;
use secrecy::SecretString;
use tokio::sync::Semaphore;
use tonic::Request;
use tracing::{instrument, warn};

use crate::{
    Config, Error, Stats,
    caches::{self, Caches},
    flight::{Began, Flights},
    l1::Entry,
    l2::SealedCache,
    negative::Negative,
    prove::Prover,
};

/// What a look-up found about one token.
#[derive(Debug, Clone)]
pub(crate) enum Found {
    /// It is a secret of a key: issuance was asked.
    Proven(Arc<Entry>),
    /// It was found to be one earlier: L2 said so.
    Kept(Arc<Entry>),
    /// It opens nothing.
    Nothing(Negative),
}

/// Cheap to clone, so that a flight can outlive who started it.
#[derive(Clone)]
pub(crate) struct Lookups {
    flights: Arc<Flights>,
    issuance: FactServiceClient<Transport>,
    timeout: Duration,
    admission: Arc<Semaphore>,
    prover: Arc<Prover>,
    clock: Arc<dyn Clock>,
    follower: Follower,
    caches: Arc<Caches>,
    l2: Arc<SealedCache>,
    stats: Arc<Stats>,
}

impl Lookups {
    pub(crate) fn new(
        config: &Config,
        issuance: Transport,
        clock: Arc<dyn Clock>,
        follower: Follower,
        caches: Arc<Caches>,
        l2: SealedCache,
        stats: Arc<Stats>,
    ) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let workers = config.hash_workers.unwrap_or(cores);
        Self {
            flights: Arc::default(),
            issuance: FactServiceClient::new(issuance),
            timeout: Duration::from_millis(config.lookup_timeout_ms),
            admission: Arc::new(Semaphore::new(config.max_lookups)),
            prover: Arc::new(Prover::new(workers, Arc::clone(&stats))),
            clock,
            follower,
            caches,
            l2: Arc::new(l2),
            stats,
        }
    }

    /// What L2 holds of this token, else a look-up of it; either may have begun earlier, for
    /// somebody else.
    pub(crate) async fn kept_or_shared(
        &self,
        token: &str,
        genuine: Genuine,
    ) -> (Result<Found, Error>, Began) {
        let lookup = || self.clone().kept_or_fetched(token.into(), genuine);
        self.flights.join(genuine.digest, lookup).await
    }

    /// A look-up of this token that may have begun earlier, for somebody else.
    pub(crate) async fn shared(
        &self,
        token: &str,
        genuine: Genuine,
    ) -> (Result<Found, Error>, Began) {
        let lookup = || self.clone().fetch(token.into(), genuine);
        self.flights.join(genuine.digest, lookup).await
    }

    /// A look-up that begins now.
    pub(crate) async fn own(&self, token: &str, genuine: Genuine) -> Result<Found, Error> {
        self.clone().fetch(token.into(), genuine).await
    }

    async fn kept_or_fetched(self, token: SecretString, genuine: Genuine) -> Result<Found, Error> {
        if let Some(entry) = self.l2.get(&genuine).await
            && self.keep(&genuine, &entry)
        {
            return Ok(Found::Kept(entry));
        }
        self.fetch(token, genuine).await
    }

    #[instrument(name = "verification.lookup", skip_all)]
    async fn fetch(self, token: SecretString, genuine: Genuine) -> Result<Found, Error> {
        let _admitted = self.admission.try_acquire().map_err(|_| Error::Overloaded)?;
        Stats::count(&self.stats.lookups);
        let ends_at = self.clock.tick() + caches::TTL;
        let answer = self.ask(&genuine).await.map_err(|failure| {
            warn!(kind = ?failure.kind, reason = %failure.reason, %failure, "a look-up failed");
            Error::Lookup
        })?;
        let (as_of, facts) = looked_up(&answer).map_err(|failure| {
            warn!(%failure, "issuance's facts cannot be read");
            Error::Defect("issuance's facts cannot be read")
        })?;
        let Some(facts) = facts else {
            return Ok(self.keep_nothing(&genuine, Negative { key: None, as_of, ends_at }));
        };
        if facts.kid != genuine.kid || facts.environment != genuine.environment {
            return Err(Error::Defect("issuance answered about another key"));
        }
        let Some(secret) = self.prover.prove(token, genuine.token_key_version, &facts).await?
        else {
            let key = Some(facts.key);
            return Ok(self.keep_nothing(&genuine, Negative { key, as_of, ends_at }));
        };
        let entry = Arc::new(Entry::new(facts, secret, as_of, ends_at));
        if self.keep(&genuine, &entry) {
            // Whoever asked does not wait for it.
            let (l2, kept) = (Arc::clone(&self.l2), Arc::clone(&entry));
            tokio::spawn(async move { l2.put(&genuine.digest, &kept).await });
        }
        Ok(Found::Proven(entry))
    }

    /// Keeps an entry in L1, unless a cut has overtaken it. That is checked again at each use; here
    /// it spares the memory.
    fn keep(&self, genuine: &Genuine, entry: &Arc<Entry>) -> bool {
        let current = self.follower.check(&entry.as_of, entry.facts.scopes()).is_ok();
        if current {
            self.caches.l1.insert(genuine.digest, Arc::clone(entry));
        }
        current
    }

    fn keep_nothing(&self, genuine: &Genuine, negative: Negative) -> Found {
        self.caches.negatives.insert(genuine.digest, negative);
        Found::Nothing(negative)
    }

    async fn ask(&self, genuine: &Genuine) -> Result<LookupResponse, Failure> {
        let mut request = Request::new(LookupRequest { kid: genuine.kid.to_string() });
        request.set_timeout(self.timeout);
        let mut issuance = self.issuance.clone();
        // Boxed, since the compiler cannot show the generated future to be `Send` inside another.
        let call = issuance.lookup(request).boxed();
        match tokio::time::timeout(self.timeout, call).await {
            Ok(answer) => Ok(answer?.into_inner()),
            Err(_) => Err(tonic::Status::deadline_exceeded("the deadline passed").into()),
        }
    }
}

/// The answer to a look-up: as of when, and the facts if there is such a key.
fn looked_up(answer: &LookupResponse) -> Result<(Position, Option<KeyFacts>), Failure> {
    let as_of = required_position("as_of", answer.as_of.as_ref())?;
    Ok((as_of, answer.facts.as_ref().map(from_key_facts).transpose()?))
}
