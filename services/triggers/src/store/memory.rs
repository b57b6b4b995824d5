//! The store in memory: the same promises without a database, for tests.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use keystile_domain::{Scope, log::Applied};

use super::{Error, Store};

#[derive(Default)]
struct Tables {
    applied: Option<Applied>,
    tombstones: BTreeMap<Scope, u64>,
}

/// Rows behind one lock.
#[derive(Default)]
pub(crate) struct MemoryStore(Mutex<Tables>);

impl MemoryStore {
    fn with<T>(&self, step: impl FnOnce(&mut Tables) -> T) -> T {
        step(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn applied(&self) -> Result<Option<Applied>, Error> {
        Ok(self.with(|tables| tables.applied))
    }

    async fn tombstones(&self) -> Result<u64, Error> {
        Ok(self.with(|tables| tables.tombstones.len() as u64))
    }

    async fn reset(&self, begin: &Applied) -> Result<(), Error> {
        self.with(|tables| {
            *tables = Tables { applied: Some(*begin), tombstones: BTreeMap::new() };
        });
        Ok(())
    }

    async fn advance(&self, applied: &Applied, changed: &[(Scope, u64)]) -> Result<(), Error> {
        self.with(|tables| {
            for (scope, seq) in changed {
                let known = tables.tombstones.entry(*scope).or_insert(*seq);
                *known = (*known).max(*seq);
            }
            let known = tables.applied;
            let behind = known.is_none_or(|known| !known.position.reaches(&applied.position));
            if behind {
                tables.applied = Some(*applied);
            }
        });
        Ok(())
    }
}
