//! A process that can be paused, while its clock runs on, and killed.
//!
//! What it awaits itself is not polled while it is paused. Tasks that it spawned stop at the next
//! thing they ask of another process, since its ports are gated as well.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
};

use futures::FutureExt;
use tokio::sync::watch;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    Paused,
    Dead,
}

/// One run of a process. Clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    state: Arc<watch::Sender<State>>,
    /// How often it was paused.
    pauses: Arc<AtomicU64>,
}

impl Process {
    pub(crate) fn start() -> Self {
        Self { state: Arc::new(watch::Sender::new(State::Running)), pauses: Arc::default() }
    }

    fn set(&self, to: State) {
        self.state.send_if_modified(|state| {
            let changes = *state != State::Dead && *state != to;
            if changes {
                *state = to;
            }
            changes
        });
    }

    pub(crate) fn pauses(&self) -> u64 {
        self.pauses.load(Ordering::SeqCst)
    }

    pub(crate) fn pause(&self) {
        self.pauses.fetch_add(1, Ordering::SeqCst);
        self.set(State::Paused);
    }

    pub(crate) fn resume(&self) {
        self.set(State::Running);
    }

    pub(crate) fn kill(&self) {
        self.set(State::Dead);
    }

    pub(crate) fn is_running(&self) -> bool {
        *self.state.borrow() == State::Running
    }

    pub(crate) fn is_dead(&self) -> bool {
        *self.state.borrow() == State::Dead
    }

    /// Until it runs: for ever if it is dead.
    pub(crate) async fn running(&self) {
        let mut state = self.state.subscribe();
        let _ = state.wait_for(|state| *state == State::Running).await;
    }

    /// Until it is dead.
    pub(crate) async fn dead(&self) {
        let mut state = self.state.subscribe();
        let _ = state.wait_for(|state| *state == State::Dead).await;
    }

    /// `work` of this process; `None` if it dies first.
    pub(crate) async fn run<F: Future>(&self, work: F) -> Option<F::Output> {
        let mut work = pin!(work);
        let mut waiting = None;
        let gated = std::future::poll_fn(move |context| {
            loop {
                if *self.state.borrow() == State::Running {
                    waiting = None;
                    return work.as_mut().poll(context);
                }
                let wait = waiting.get_or_insert_with(|| self.running().boxed());
                if wait.poll_unpin(context).is_pending() {
                    return Poll::Pending;
                }
                waiting = None;
            }
        });
        tokio::select! {
            biased;
            () = self.dead() => None,
            output = gated => Some(output),
        }
    }
}
