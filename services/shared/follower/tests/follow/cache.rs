//! A double of what holds facts: remembers what it was told, waits or fails when a test says so.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use keystile_domain::log::{Applied, History, LogRow};
use keystile_follower::{Apply, ApplyError};
use tokio::sync::watch;
use tonic::async_trait;

#[derive(Debug)]
pub(crate) struct Cache {
    stored: Option<Applied>,
    pub(crate) begun: Mutex<Vec<Applied>>,
    pub(crate) rows: Mutex<Vec<u64>>,
    pub(crate) fails: AtomicBool,
    /// Calls of `apply` that were entered, finished or not.
    pub(crate) entered: AtomicUsize,
    open: watch::Sender<bool>,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            stored: None,
            begun: Mutex::default(),
            rows: Mutex::default(),
            fails: AtomicBool::new(false),
            entered: AtomicUsize::new(0),
            open: watch::channel(true).0,
        }
    }
}

impl Cache {
    pub(crate) fn stored(at: Applied) -> Self {
        Self { stored: Some(at), ..Self::default() }
    }

    /// Makes `apply` wait, or go on.
    pub(crate) fn set_open(&self, open: bool) {
        self.open.send_replace(open);
    }

    pub(crate) fn rows(&self) -> Vec<u64> {
        self.rows.lock().expect("not poisoned").clone()
    }

    pub(crate) fn resets(&self) -> usize {
        self.begun.lock().expect("not poisoned").len()
    }
}

#[async_trait]
impl Apply for Cache {
    async fn resume_from(&self) -> Result<Option<Applied>, ApplyError> {
        Ok(self.stored)
    }

    async fn reset(&self, begin: &Applied) -> Result<(), ApplyError> {
        self.begun.lock().expect("not poisoned").push(*begin);
        self.rows.lock().expect("not poisoned").clear();
        Ok(())
    }

    async fn apply(&self, _: &History, rows: &[LogRow]) -> Result<(), ApplyError> {
        self.entered.fetch_add(1, Ordering::SeqCst);
        let _ = self.open.subscribe().wait_for(|open| *open).await;
        if self.fails.load(Ordering::SeqCst) {
            return Err(ApplyError::new("the database is down"));
        }
        self.rows.lock().expect("not poisoned").extend(rows.iter().map(|row| row.seq));
        Ok(())
    }
}
