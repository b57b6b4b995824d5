//! The use case: a token and a question in, a verdict out.

use std::{fmt, sync::Arc};

use keystile_domain::{
    Clock, Grant, Position, Refusal, Scope, Tick, Verdict,
    facts::{KeyFacts, Request},
    token::{Genuine, TokenKeyRing},
};
use keystile_follower::{Follower, Rejected};
use time::OffsetDateTime;

use crate::{
    Error, Stats,
    caches::Caches,
    flight::Began,
    l1::Entry,
    lookup::{Found, Lookups},
    negative::Negative,
};

/// The longest text that is looked at as a token, bytes.
const MAX_TOKEN: usize = 256;

/// How often facts are fetched that changes keep overtaking.
const ATTEMPTS: usize = 3;

/// What is asked.
#[derive(Clone)]
pub struct Question<'q> {
    /// The token, as it was presented.
    pub token: &'q str,
    /// What it is to be used for.
    pub request: Request<'q>,
    /// Facts older than this count as missing.
    pub at_least: Option<Position>,
}

impl fmt::Debug for Question<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Question").field("request", &self.request).finish_non_exhaustive()
    }
}

/// The verdict, with the facts that whoever asked is owed.
#[derive(Debug)]
pub enum Answer {
    /// The key may.
    Allowed(Allowed),
    /// It may not.
    Refused(Refused),
}

/// The key may.
#[derive(Debug)]
pub struct Allowed {
    entry: Arc<Entry>,
    /// The place of the grant among the facts' grants.
    grant: Option<usize>,
}

impl Allowed {
    /// The facts that allow it.
    #[must_use]
    pub fn facts(&self) -> &KeyFacts {
        &self.entry.facts
    }

    /// The grant that allows the component; `None` if none was asked about.
    #[must_use]
    pub fn grant(&self) -> Option<&Grant> {
        self.grant.and_then(|at| self.entry.facts.grants.get(at)).map(|held| &held.grant)
    }

    /// What the facts reflect.
    #[must_use]
    pub fn as_of(&self) -> Position {
        self.entry.as_of
    }
}

/// The key may not.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub reason: Refusal,
    /// What the facts reflect; `None` if there was no look-up behind it.
    pub as_of: Option<Position>,
    proven: Option<Arc<Entry>>,
}

impl Refused {
    /// The facts that refuse it, for who proved the secret. Anyone else is told nothing.
    #[must_use]
    pub fn facts(&self) -> Option<&KeyFacts> {
        self.proven.as_ref().map(|entry| &entry.facts)
    }

    const fn invalid(as_of: Option<Position>) -> Self {
        Self { reason: Refusal::Invalid, as_of, proven: None }
    }
}

/// Answers questions. One a process.
pub struct Verifier {
    token_keys: TokenKeyRing,
    clock: Arc<dyn Clock>,
    follower: Follower,
    caches: Arc<Caches>,
    lookups: Lookups,
    stats: Arc<Stats>,
}

impl Verifier {
    pub(crate) fn new(
        token_keys: TokenKeyRing,
        clock: Arc<dyn Clock>,
        follower: Follower,
        caches: Arc<Caches>,
        lookups: Lookups,
        stats: Arc<Stats>,
    ) -> Self {
        Self { token_keys, clock, follower, caches, lookups, stats }
    }

    /// What it has cost so far.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Decides. The tag comes first: a token that this installation did not mint costs no cache,
    /// look-up or Argon2. A token that this node knows is answered without waiting for anything.
    ///
    /// # Errors
    /// [`Error`] if there can be no verdict now. Never in place of a refusal.
    pub async fn verify(&self, question: &Question<'_>) -> Result<Answer, Error> {
        if question.token.len() > MAX_TOKEN {
            return Ok(Answer::Refused(Refused::invalid(None)));
        }
        let Some(genuine) = self.token_keys.authenticate(question.token) else {
            return Ok(Answer::Refused(Refused::invalid(None)));
        };
        match self.warm(&genuine, question) {
            Some(answer) => Ok(answer),
            // Boxed to keep the warm path's future small.
            None => Box::pin(self.cold(genuine, question)).await,
        }
    }

    /// From what this node keeps, while its lease is current.
    fn warm(&self, genuine: &Genuine, question: &Question<'_>) -> Option<Answer> {
        let now = self.clock.tick();
        if let Some(entry) = self.caches.l1.get(&genuine.digest) {
            match self.admit(now, &entry) {
                Ok(()) if reaches(&entry.as_of, question) => {
                    return Some(self.decide(entry, question));
                }
                Ok(()) | Err(Rejected::NoLease) => {}
                Err(Rejected::Stale { .. } | Rejected::ForeignHistory) => {
                    self.caches.l1.remove(&genuine.digest, &entry);
                }
            }
            return None;
        }
        let negative = self.caches.negatives.get(&genuine.digest)?;
        match self.admit_negative(now, &negative) {
            Ok(()) if reaches(&negative.as_of, question) => {
                Some(Answer::Refused(Refused::invalid(Some(negative.as_of))))
            }
            Ok(()) | Err(Rejected::NoLease) => None,
            Err(Rejected::Stale { .. } | Rejected::ForeignHistory) => {
                self.caches.negatives.remove(&genuine.digest);
                None
            }
        }
    }

    /// From issuance.
    async fn cold(&self, genuine: Genuine, question: &Question<'_>) -> Result<Answer, Error> {
        Stats::count(&self.stats.cache_misses);
        for attempt in 0..ATTEMPTS {
            // Without a lease there may be changes that this node has not heard of, so only a
            // look-up that begins from here on will do.
            let (found, began) = match (self.follower.lease_current(), attempt) {
                (true, 0) => self.lookups.kept_or_shared(question.token, genuine).await,
                // What L2 holds was not good enough.
                (true, _) => self.lookups.shared(question.token, genuine).await,
                (false, _) => (self.lookups.own(question.token, genuine).await, Began::Since),
            };
            match found? {
                // Read earlier, by whichever node: as good as L1, no better.
                Found::Kept(entry) => {
                    let usable = self.admit(self.clock.tick(), &entry);
                    if usable.is_ok() && reaches(&entry.as_of, question) {
                        return Ok(self.decide(entry, question));
                    }
                }
                Found::Proven(entry) => {
                    let usable = match began {
                        Began::Since => self.follower.check(&entry.as_of, entry.facts.scopes()),
                        Began::Earlier => self.admit(self.clock.tick(), &entry),
                    };
                    if usable.is_ok() && reaches(&entry.as_of, question) {
                        return Ok(self.decide(entry, question));
                    }
                }
                Found::Nothing(negative) => {
                    let usable = match began {
                        Began::Since => self.follower.check(&negative.as_of, scope(&negative)),
                        Began::Earlier => self.admit_negative(self.clock.tick(), &negative),
                    };
                    if usable.is_ok() && reaches(&negative.as_of, question) {
                        return Ok(Answer::Refused(Refused::invalid(Some(negative.as_of))));
                    }
                }
            }
        }
        Err(Error::Outdated)
    }

    /// May what was read earlier be used now? `now` was read after the question came.
    fn admit(&self, now: Tick, entry: &Entry) -> Result<(), Rejected> {
        self.follower.admit_at(now, &entry.as_of, entry.facts.scopes())?;
        if now >= entry.ends_at {
            return Err(Rejected::Stale { needed: entry.as_of });
        }
        Ok(())
    }

    /// The same for what opens nothing. The lease comes first, as in [`Follower::admit_at`].
    fn admit_negative(&self, now: Tick, negative: &Negative) -> Result<(), Rejected> {
        self.follower.admit_at(now, &negative.as_of, scope(negative))?;
        let known = !self.caches.negatives.still_unknown(negative);
        if known || now >= negative.ends_at {
            return Err(Rejected::Stale { needed: negative.as_of });
        }
        Ok(())
    }

    fn decide(&self, entry: Arc<Entry>, question: &Question<'_>) -> Answer {
        // What ends by no date is not worth a look at the clock.
        let now = if entry.ends { self.clock.now() } else { OffsetDateTime::UNIX_EPOCH };
        let verdict = entry.facts.decide(entry.secret, &question.request, now);
        match verdict {
            Verdict::Allow { grant } => {
                let grant = grant.and_then(|allowing| {
                    let mut grants = entry.facts.grants.iter();
                    grants.position(|held| std::ptr::eq(&raw const held.grant, allowing))
                });
                Answer::Allowed(Allowed { entry, grant })
            }
            Verdict::Refuse(reason) => {
                Answer::Refused(Refused { reason, as_of: Some(entry.as_of), proven: Some(entry) })
            }
        }
    }
}

fn scope(negative: &Negative) -> Option<Scope> {
    negative.key.map(Scope::Key)
}

fn reaches(as_of: &Position, question: &Question<'_>) -> bool {
    question.at_least.as_ref().is_none_or(|at_least| as_of.reaches(at_least))
}
