//! Asking issuance: admission, single flight, proof, and what is kept of the answer.

mod convert;

use std::{num::NonZero, sync::Arc, time::Duration};

use futures::FutureExt;
use keystile_contract::{
    Failure, Transport,
    proto::issuance::v1::{LookupRequest, LookupResponse, fact_service_client::FactServiceClient},
};
use keystile_domain::{Clock, token::Genuine};
use keystile_follower::Follower;
use secrecy::SecretString;
use tokio::sync::Semaphore;
use tonic::Request;
use tracing::{instrument, warn};

use crate::{
    Config, Error, Stats,
    caches::Caches,
    flight::{Began, Flights},
    l1::Entry,
    negative::Negative,
    prove::Prover,
};

/// What a look-up found about one token.
#[derive(Debug, Clone)]
pub(crate) enum Found {
    /// It is a secret of a key.
    Proven(Arc<Entry>),
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
    stats: Arc<Stats>,
}

impl Lookups {
    pub(crate) fn new(
        config: &Config,
        issuance: Transport,
        clock: Arc<dyn Clock>,
        follower: Follower,
        caches: Arc<Caches>,
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
            stats,
        }
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

    #[instrument(name = "verification.lookup", skip_all)]
    async fn fetch(self, token: SecretString, genuine: Genuine) -> Result<Found, Error> {
        let _admitted = self.admission.try_acquire().map_err(|_| Error::Overloaded)?;
        Stats::count(&self.stats.lookups);
        let read_at = self.clock.tick();
        let answer = self.ask(&genuine).await.map_err(|failure| {
            warn!(kind = ?failure.kind, reason = %failure.reason, %failure, "a look-up failed");
            Error::Lookup
        })?;
        let (as_of, facts) = convert::looked_up(&answer).map_err(|failure| {
            warn!(%failure, "issuance's facts cannot be read");
            Error::Defect("issuance's facts cannot be read")
        })?;
        let Some(facts) = facts else {
            return Ok(self.keep_nothing(&genuine, Negative { key: None, as_of, read_at }));
        };
        if facts.kid != genuine.kid || facts.environment != genuine.environment {
            return Err(Error::Defect("issuance answered about another key"));
        }
        let Some(secret) = self.prover.prove(token, genuine.token_key_version, &facts).await?
        else {
            let key = Some(facts.key);
            return Ok(self.keep_nothing(&genuine, Negative { key, as_of, read_at }));
        };
        let entry = Arc::new(Entry::new(facts, secret, as_of, read_at));
        // Checked again at each use; here it spares the memory.
        if self.follower.check(&as_of, entry.facts.scopes()).is_ok() {
            self.caches.l1.insert(genuine.digest, Arc::clone(&entry));
        }
        Ok(Found::Proven(entry))
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
