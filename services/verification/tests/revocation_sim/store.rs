//! The database: rows in memory, one writer at a time, readers that never wait for it; and how one
//! process sees it.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use keystile_contract::Failure;
use keystile_domain::{
    ErrorKind, Incarnation, KeyId, OperationId, Scope, TeamId,
    facts::KeyFacts,
    log::{History, LogRow, Nonce, Receipt},
};
use keystile_issuance::{
    Error,
    store::{
        AuditQuery, AuditRecord, Epoch, FactsOf, FollowerRecord, Hearing, KeyQuery, KeyRecord,
        Operation, Renewal, ScopeStatus, Store, TeamRecord, Tx, memory::MemoryStore,
    },
};
use time::OffsetDateTime;
use tokio::sync::{OwnedMutexGuard, broadcast};

use crate::{
    counts::{Counts, What},
    process::Process,
    rng::{Rng, Streams},
    twins::Twin,
};

fn unavailable() -> Error {
    Failure::new(ErrorKind::Unavailable, "unavailable", "the database cannot answer now").into()
}

/// What of the database's faults there is, in thousandths of its calls.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Troubles {
    pub(crate) slow: u64,
    pub(crate) read_failed: u64,
    pub(crate) commit_unheard: u64,
    pub(crate) news_lost: u64,
    pub(crate) unrecorded: u64,
}

impl Troubles {
    pub(crate) const NONE: Self =
        Self { slow: 0, read_failed: 0, commit_unheard: 0, news_lost: 0, unrecorded: 0 };
}

/// The servers: one that takes writes, and what a standby would have.
pub(crate) struct Database {
    committed: Mutex<MemoryStore>,
    writer: Arc<tokio::sync::Mutex<()>>,
    told: broadcast::Sender<String>,
    /// Counts failovers: a transaction of an earlier one cannot commit.
    generation: AtomicU64,
    primary: Mutex<Primary>,
    /// Followers that were removed.
    pub(crate) removed: Mutex<BTreeSet<Incarnation>>,
}

/// What the primary does with a commit.
enum Primary {
    Sound,
    /// The next row is committed and read here, but reaches no standby and nobody hears of it.
    Doomed,
    /// No commit succeeds. Holds what the standby has, if that is less than what was committed.
    Cut(Option<MemoryStore>),
}

impl Database {
    pub(crate) fn new() -> Arc<Self> {
        let history = History { database: [9; 16], timeline: 1 };
        Arc::new(Self {
            committed: Mutex::new(MemoryStore::new(history, Nonce([0; 16]))),
            writer: Arc::default(),
            told: broadcast::Sender::new(1_024),
            generation: AtomicU64::new(0),
            primary: Mutex::new(Primary::Sound),
            removed: Mutex::default(),
        })
    }

    fn rows(&self) -> MemoryStore {
        self.committed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn replace(&self, rows: MemoryStore) {
        *self.committed.lock().unwrap_or_else(PoisonError::into_inner) = rows;
    }

    fn set_primary(&self, primary: Primary) -> Primary {
        let mut held = self.primary.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *held, primary)
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    pub(crate) async fn head(&self) -> u64 {
        self.rows().epoch().await.map_or(0, |epoch| epoch.head)
    }

    /// The primary is cut off from its standby for `gap`; then the standby takes over, having
    /// everything that anybody was told is committed. With `doomed`, one row more was committed and
    /// could be read. Is it lost?
    pub(crate) async fn fail_over(&self, doomed: bool, gap: Duration) -> bool {
        self.set_primary(if doomed { Primary::Doomed } else { Primary::Cut(None) });
        tokio::time::sleep(gap).await;
        let primary = self.set_primary(Primary::Sound);
        self.generation.fetch_add(1, Ordering::SeqCst);
        let (standby, lost) = match primary {
            Primary::Cut(Some(standby)) => (standby, true),
            Primary::Sound | Primary::Doomed | Primary::Cut(None) => {
                (self.rows().copy().await, false)
            }
        };
        let epoch = standby.epoch().await.expect("memory");
        let History { database, timeline } = epoch.history;
        standby.fork(History { database, timeline: timeline + 1 }).await;
        self.replace(standby);
        lost
    }

    /// Goes on from a copy that has every row of the log, and no registration.
    pub(crate) async fn restore(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        let copy = self.rows().copy().await;
        let mut tx = copy.begin().await.expect("memory");
        let registered = tx.followers().await.expect("memory");
        let registered: Vec<_> = registered.iter().map(|one| one.incarnation).collect();
        tx.remove_followers(&registered).await.expect("memory");
        tx.commit().await.expect("memory");
        let History { mut database, .. } = copy.epoch().await.expect("memory").history;
        database[0] = database[0].wrapping_add(1);
        copy.fork(History { database, timeline: 1 }).await;
        self.replace(copy);
    }
}

/// One process's way to the database.
pub(crate) struct Way {
    pub(crate) process: Process,
    pub(crate) rng: Streams,
    pub(crate) troubles: Troubles,
    pub(crate) counts: Counts,
}

impl Way {
    fn draw(&self, rng: &Rng, permille: u64, what: What) -> bool {
        let drawn = rng.chance(permille);
        if drawn {
            self.counts.one(what);
        }
        drawn
    }

    async fn travel(&self, rng: &Rng) {
        self.process.running().await;
        if rng.chance(self.troubles.slow) {
            tokio::time::sleep(rng.millis(1, 60)).await;
            self.process.running().await;
        }
    }
}

/// The database as one process reaches it.
pub(crate) struct SimStore {
    pub(crate) database: Arc<Database>,
    pub(crate) way: Arc<Way>,
    pub(crate) twin: Option<Twin>,
}

impl SimStore {
    /// One read: there, the snapshot, and back.
    async fn read<T>(
        &self,
        what: &str,
        work: impl AsyncFnOnce(MemoryStore) -> T,
    ) -> Result<T, Error> {
        let rng = &self.way.rng.next(what);
        self.way.travel(rng).await;
        if self.way.draw(rng, self.way.troubles.read_failed, What::ReadFailed) {
            return Err(unavailable());
        }
        let read = work(self.database.rows()).await;
        self.way.travel(rng).await;
        Ok(read)
    }

    /// One statement that writes by itself.
    async fn write(
        &self,
        rng: &Rng,
        work: impl AsyncFnOnce(MemoryStore) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.way.travel(rng).await;
        let _writer = Arc::clone(&self.database.writer).lock_owned().await;
        if matches!(&*self.database.primary.lock().expect("sound"), Primary::Cut(_)) {
            return Err(unavailable());
        }
        work(self.database.rows()).await
    }

    fn as_seen(&self, epoch: Epoch) -> Epoch {
        self.twin.map_or(epoch, |twin| twin.epoch(epoch))
    }

    fn history(&self, history: History) -> History {
        self.twin.map_or(history, |twin| twin.history(history))
    }
}

#[async_trait]
impl Store for SimStore {
    async fn begin(&self) -> Result<Box<dyn Tx>, Error> {
        let own = self.way.rng.next("begin");
        let rng = &own;
        self.way.travel(rng).await;
        let seen = match self.twin {
            Some(twin) => twin.followers(&self.database.rows(), rng).await?,
            None => None,
        };
        let writer = Arc::clone(&self.database.writer).lock_owned().await;
        let generation = self.database.generation();
        let copy = self.database.rows().copy().await;
        let inner = copy.begin().await?;
        self.way.process.running().await;
        Ok(Box::new(SimTx {
            inner,
            copy,
            generation,
            seen,
            wrote: false,
            appended: false,
            removed: Vec::new(),
            twin: self.twin,
            database: Arc::clone(&self.database),
            way: Arc::clone(&self.way),
            rng: own,
            _writer: writer,
        }))
    }

    async fn epoch(&self) -> Result<Epoch, Error> {
        let epoch = self.read("epoch", async |rows| rows.epoch().await).await??;
        Ok(self.as_seen(epoch))
    }
    async fn team(&self, id: TeamId) -> Result<Option<TeamRecord>, Error> {
        self.read("team", async |rows| rows.team(id).await).await?
    }
    async fn count_keys(&self, team: TeamId) -> Result<u64, Error> {
        self.read("count_keys", async |rows| rows.count_keys(team).await).await?
    }
    async fn key(&self, team: TeamId, id: KeyId) -> Result<Option<KeyRecord>, Error> {
        self.read("key", async |rows| rows.key(team, id).await).await?
    }
    async fn list_keys(&self, query: &KeyQuery) -> Result<Vec<KeyRecord>, Error> {
        self.read("list_keys", async |rows| rows.list_keys(query).await).await?
    }
    async fn list_audit(&self, query: &AuditQuery) -> Result<Vec<AuditRecord>, Error> {
        self.read("list_audit", async |rows| rows.list_audit(query).await).await?
    }
    async fn facts(&self, of: FactsOf) -> Result<(Epoch, Option<KeyFacts>), Error> {
        let (epoch, facts) = self.read("facts", async |rows| rows.facts(of).await).await??;
        Ok((self.as_seen(epoch), facts))
    }
    async fn keys_under_token_key(
        &self,
        version: u8,
        after: Option<KeyId>,
        limit: u64,
    ) -> Result<Vec<(TeamId, KeyId)>, Error> {
        self.read("keys_under_token_key", async |rows| {
            rows.keys_under_token_key(version, after, limit).await
        })
        .await?
    }
    async fn operation(&self, team: TeamId, id: OperationId) -> Result<Option<Operation>, Error> {
        self.read("operation", async |rows| rows.operation(team, id).await).await?
    }
    async fn followers(&self) -> Result<Vec<FollowerRecord>, Error> {
        self.read("followers", async |rows| rows.followers().await).await?
    }
    async fn renewal(&self, id: Incarnation, after: u64) -> Result<Renewal, Error> {
        let renewal = self.read("renewal", async |rows| rows.renewal(id, after).await).await??;
        Ok(Renewal { epoch: self.as_seen(renewal.epoch), ..renewal })
    }
    async fn log_after(&self, after: u64, limit: u64) -> Result<(History, Vec<LogRow>), Error> {
        let (history, rows) =
            self.read("log_after", async |rows| rows.log_after(after, limit).await).await??;
        Ok((self.history(history), rows))
    }
    async fn record_answered(&self, ids: &[Incarnation], at: OffsetDateTime) -> Result<(), Error> {
        let rng = &self.way.rng.next("record_answered");
        if self.way.draw(rng, self.way.troubles.unrecorded, What::AnsweredUnrecorded) {
            return Err(unavailable());
        }
        self.write(rng, async |rows| rows.record_answered(ids, at).await).await
    }
    async fn record_receipt(&self, receipt: &Receipt) -> Result<(), Error> {
        let rng = &self.way.rng.next("record_receipt");
        self.write(rng, async |rows| rows.record_receipt(receipt).await).await
    }
    async fn receipt(&self, seq: u64) -> Result<Option<Receipt>, Error> {
        self.read("receipt", async |rows| rows.receipt(seq).await).await?
    }
    async fn settle(&self, history: History) -> Result<(), Error> {
        let rng = &self.way.rng.next("settle");
        self.write(rng, async |rows| rows.settle(history).await).await
    }

    async fn tell(&self, text: &str) -> Result<(), Error> {
        let rng = &self.way.rng.next("tell");
        self.way.travel(rng).await;
        if !self.way.draw(rng, self.way.troubles.news_lost, What::NewsLost) {
            let _ = self.database.told.send(text.to_owned());
        }
        Ok(())
    }

    async fn hear(&self) -> Result<Box<dyn Hearing>, Error> {
        let rng = &self.way.rng.next("hear");
        self.way.travel(rng).await;
        let heard = self.database.told.subscribe();
        Ok(Box::new(SimHearing { heard, way: Arc::clone(&self.way) }))
    }
}

struct SimHearing {
    heard: broadcast::Receiver<String>,
    way: Arc<Way>,
}

#[async_trait]
impl Hearing for SimHearing {
    async fn next(&mut self) -> Result<Option<String>, Error> {
        let text = self.heard.recv().await;
        self.way.process.running().await;
        match text {
            Ok(text) => Ok(Some(text)),
            Err(broadcast::error::RecvError::Lagged(_)) => Ok(None),
            Err(broadcast::error::RecvError::Closed) => Err(Error::Defect("the store is gone")),
        }
    }
}

struct SimTx {
    inner: Box<dyn Tx>,
    copy: MemoryStore,
    generation: u64,
    /// The followers that a twin counts.
    seen: Option<Vec<FollowerRecord>>,
    wrote: bool,
    appended: bool,
    removed: Vec<Incarnation>,
    twin: Option<Twin>,
    database: Arc<Database>,
    way: Arc<Way>,
    rng: Rng,
    _writer: OwnedMutexGuard<()>,
}

impl SimTx {
    /// The server's part, at one instant. Is it heard of?
    async fn durably(self) -> Result<bool, Error> {
        if self.twin == Some(Twin::DurableRepeat) && !self.wrote {
            return Ok(true);
        }
        if self.database.generation() != self.generation {
            return Err(unavailable());
        }
        let heard = match &mut *self.database.primary.lock().expect("sound") {
            Primary::Cut(_) => return Err(unavailable()),
            primary @ Primary::Doomed if self.appended => {
                *primary = Primary::Cut(Some(self.database.rows()));
                false
            }
            Primary::Sound | Primary::Doomed => true,
        };
        self.inner.commit().await?;
        self.database.replace(self.copy);
        for id in self.removed {
            if self.database.removed.lock().expect("sound").insert(id) {
                self.way.counts.one(What::Retired);
            }
        }
        Ok(heard)
    }
}

#[async_trait]
impl Tx for SimTx {
    async fn commit(self: Box<Self>) -> Result<(), Error> {
        let (way, rng) = (Arc::clone(&self.way), self.rng.fork(0));
        way.travel(&rng).await;
        let heard = self.durably().await?;
        way.travel(&rng).await;
        if heard && !way.draw(&rng, way.troubles.commit_unheard, What::CommitUnheard) {
            Ok(())
        } else {
            Err(unavailable())
        }
    }

    async fn lock_epoch(&mut self) -> Result<Epoch, Error> {
        let epoch = self.inner.lock_epoch().await?;
        Ok(self.twin.map_or(epoch, |twin| twin.epoch(epoch)))
    }
    async fn append(&mut self, row: &LogRow, at: OffsetDateTime) -> Result<(), Error> {
        (self.wrote, self.appended) = (true, true);
        self.inner.append(row, at).await
    }
    async fn insert_operation(&mut self, operation: &Operation) -> Result<(), Error> {
        self.inner.insert_operation(operation).await
    }
    async fn operation(
        &mut self,
        team: TeamId,
        id: OperationId,
    ) -> Result<Option<Operation>, Error> {
        self.inner.operation(team, id).await
    }
    async fn last_cut(&mut self, team: TeamId, scope: Scope) -> Result<Option<Operation>, Error> {
        self.inner.last_cut(team, scope).await
    }
    async fn insert_audit(&mut self, row: &AuditRecord) -> Result<(), Error> {
        self.inner.insert_audit(row).await
    }
    async fn team(&mut self, id: TeamId) -> Result<Option<TeamRecord>, Error> {
        self.inner.team(id).await
    }
    async fn insert_team(&mut self, team: &TeamRecord) -> Result<(), Error> {
        self.inner.insert_team(team).await
    }
    async fn update_team(&mut self, team: &TeamRecord) -> Result<(), Error> {
        self.inner.update_team(team).await
    }
    async fn count_keys(&mut self, team: TeamId) -> Result<u64, Error> {
        self.inner.count_keys(team).await
    }
    async fn key(&mut self, team: TeamId, id: KeyId) -> Result<Option<KeyRecord>, Error> {
        self.way.travel(&self.rng).await;
        self.inner.key(team, id).await
    }
    async fn insert_key(&mut self, key: &KeyRecord) -> Result<(), Error> {
        self.inner.insert_key(key).await
    }
    async fn update_key(&mut self, before: &KeyRecord, after: &KeyRecord) -> Result<(), Error> {
        self.inner.update_key(before, after).await
    }
    async fn put_scope_status(&mut self, status: &ScopeStatus) -> Result<(), Error> {
        self.inner.put_scope_status(status).await
    }
    async fn scope_usable(&mut self, team: TeamId, scope: Scope) -> Result<Option<bool>, Error> {
        self.inner.scope_usable(team, scope).await
    }
    async fn followers(&mut self) -> Result<Vec<FollowerRecord>, Error> {
        match &self.seen {
            Some(seen) => Ok(seen.clone()),
            None => self.inner.followers().await,
        }
    }
    async fn insert_follower(&mut self, follower: &FollowerRecord) -> Result<(), Error> {
        self.wrote = true;
        self.inner.insert_follower(follower).await
    }
    async fn mark_retiring(&mut self, silent_since: OffsetDateTime) -> Result<(), Error> {
        self.wrote = true;
        self.inner.mark_retiring(silent_since).await
    }
    async fn remove_followers(&mut self, ids: &[Incarnation]) -> Result<(), Error> {
        self.wrote = true;
        self.removed.extend_from_slice(ids);
        self.inner.remove_followers(ids).await
    }
    async fn floor(&mut self, at: OffsetDateTime) -> Result<u64, Error> {
        self.inner.floor(at).await
    }
}

/// What the simulation stands on keeps the promises that SQLite and Postgres keep.
#[path = "../../../issuance/tests/it/store/conformance.rs"]
mod conformance;

async fn benches() -> [conformance::Bench; 1] {
    let way = Way {
        process: Process::start(),
        rng: Streams::new(Rng::new(1)),
        troubles: Troubles::NONE,
        counts: Counts::default(),
    };
    let store = SimStore { database: Database::new(), way: Arc::new(way), twin: None };
    [conformance::Bench::new(store, true, ())]
}
