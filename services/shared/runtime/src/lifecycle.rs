//! Starting to stop: first soft (no new work, what runs may finish), then hard.

use std::{future::Future, time::Duration};

use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long what runs may take to finish after the first signal.
pub const GRACE: Duration = Duration::from_secs(10);

/// The process's way to stop. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Drain {
    soft: CancellationToken,
    hard: CancellationToken,
    tasks: TaskTracker,
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Everything finished by itself.
    Clean,
    /// Some work was cut off.
    CutOff,
}

impl Drain {
    /// A drain that nobody has begun.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancelled when no new work may begin. What listens stops listening, loops end.
    #[must_use]
    pub fn stopping(&self) -> CancellationToken {
        self.soft.clone()
    }

    /// Cancelled when even running work must end.
    #[must_use]
    pub fn killed(&self) -> CancellationToken {
        self.hard.clone()
    }

    /// Runs a task that the drain waits for, until it ends or is cut off.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let hard = self.hard.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                biased;
                () = task => {}
                () = hard.cancelled() => {}
            }
        })
    }

    /// Begins the soft phase.
    pub fn begin(&self) {
        self.soft.cancel();
        self.tasks.close();
    }

    /// Stops: soft, then hard after `grace` or as soon as `hurry` is ready.
    pub async fn stop(&self, grace: Duration, hurry: impl Future<Output = ()>) -> Drained {
        self.begin();
        tokio::select! {
            () = self.tasks.wait() => return Drained::Clean,
            () = tokio::time::sleep(grace) => {}
            () = hurry => {}
        }
        self.hard.cancel();
        self.tasks.wait().await;
        Drained::CutOff
    }

    /// Waits for a signal, or for somebody to call [`Drain::begin`], then stops; a second signal
    /// ends the soft phase at once.
    pub async fn run_until(&self, signals: &mut Signals, grace: Duration) -> Cause {
        let cause = tokio::select! {
            () = signals.next() => Cause::Signal,
            () = self.soft.cancelled() => Cause::Begun,
        };
        tracing::info!("stopping: waiting for what runs to finish");
        if self.stop(grace, signals.next()).await == Drained::CutOff {
            tracing::warn!("stopped before everything had finished");
        }
        cause
    }
}

/// Why a process stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It was asked to.
    Signal,
    /// [`Drain::begin`] was called within it.
    Begun,
}

/// Ctrl-C and SIGTERM. From [`Signals::listen`] on they no longer end the process by themselves.
#[cfg(unix)]
#[derive(Debug)]
pub struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    /// Begins to listen.
    ///
    /// # Errors
    /// The handlers cannot be installed.
    pub fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Ctrl-C. From [`Signals::listen`] on it no longer ends the process by itself.
#[cfg(not(unix))]
#[derive(Debug)]
pub struct Signals;

#[cfg(not(unix))]
impl Signals {
    /// Begins to listen.
    ///
    /// # Errors
    /// The handlers cannot be installed.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self)
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn work_that_finishes_is_waited_for() {
        let drain = Drain::new();
        let stopping = drain.stopping();
        drain.spawn(async move { stopping.cancelled().await });
        assert_eq!(drain.stop(GRACE, pending()).await, Drained::Clean);
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_does_not_finish_is_cut_off_after_the_grace() {
        let drain = Drain::new();
        drain.spawn(pending());
        assert_eq!(drain.stop(GRACE, pending()).await, Drained::CutOff);
    }

    #[tokio::test]
    async fn a_second_signal_does_not_wait() {
        let drain = Drain::new();
        drain.spawn(pending());
        assert_eq!(drain.stop(Duration::MAX, ready(())).await, Drained::CutOff);
    }
}
