//! Redis: shared by the nodes, and its faults.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use keystile_cache::L2;
use keystile_domain::token::Digest;

use crate::{
    counts::{Counts, What},
    process::Process,
    rng::{Rng, Streams},
    store::Database,
    twins::Twin,
};

/// What Redis does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Sound,
    Absent,
    Slow,
    /// Answers with any entry that was ever put.
    Replaying,
}

#[derive(Default)]
struct Entries {
    last: HashMap<Digest, Arc<[u8]>>,
    ever: HashMap<Digest, Vec<Arc<[u8]>>>,
}

pub(crate) struct Redis {
    entries: Mutex<Entries>,
    mode: Mutex<Mode>,
    counts: Counts,
    database: Arc<Database>,
    twin: Option<Twin>,
}

impl Redis {
    pub(crate) fn new(counts: Counts, database: Arc<Database>, twin: Option<Twin>) -> Arc<Self> {
        let (entries, mode) = (Mutex::default(), Mutex::new(Mode::Sound));
        Arc::new(Self { entries, mode, counts, database, twin })
    }

    pub(crate) fn set_mode(&self, mode: Mode) {
        *self.mode.lock().expect("sound") = mode;
    }

    pub(crate) fn empty(&self) {
        self.counts.one(What::L2Emptied);
        self.entries.lock().expect("sound").last.clear();
    }

    fn mode(&self) -> Mode {
        *self.mode.lock().expect("sound")
    }

    async fn read(&self, rng: &Rng, digest: &Digest) -> Option<Arc<[u8]>> {
        match self.mode() {
            Mode::Absent => {
                self.counts.one(What::L2Absent);
                return None;
            }
            Mode::Slow => {
                self.counts.one(What::L2Slow);
                tokio::time::sleep(rng.millis(20, 400)).await;
            }
            Mode::Sound | Mode::Replaying => {}
        }
        let replaying = self.mode() == Mode::Replaying;
        let entries = self.entries.lock().expect("sound");
        let last = entries.last.get(digest).cloned();
        if !replaying {
            return last;
        }
        let ever = entries.ever.get(digest)?;
        let entry = Arc::clone(&ever[rng.index(ever.len())]);
        if last.is_none_or(|last| !Arc::ptr_eq(&last, &entry)) {
            self.counts.one(What::L2Replay);
        }
        Some(entry)
    }
}

/// Redis as one process reaches it.
pub(crate) struct Cache {
    pub(crate) redis: Arc<Redis>,
    pub(crate) process: Process,
    pub(crate) rng: Streams,
}

#[async_trait]
impl L2 for Cache {
    async fn get(&self, digest: &Digest) -> Option<Arc<[u8]>> {
        self.process.running().await;
        let value = self.redis.read(&self.rng.next("get"), digest).await;
        self.process.running().await;
        match self.redis.twin {
            Some(twin) => twin.entry(value?, self.redis.database.head().await),
            None => value,
        }
    }

    async fn put(&self, digest: &Digest, value: Arc<[u8]>, _: Duration) {
        self.process.running().await;
        if self.redis.mode() == Mode::Absent {
            return;
        }
        let mut entries = self.redis.entries.lock().expect("sound");
        entries.last.insert(*digest, Arc::clone(&value));
        entries.ever.entry(*digest).or_default().push(value);
    }

    async fn remove(&self, digest: &Digest) {
        self.redis.entries.lock().expect("sound").last.remove(digest);
    }
}
