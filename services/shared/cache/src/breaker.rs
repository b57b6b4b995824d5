//! Stops asking a cache that does not answer, and asks again now and then.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use keystile_domain::{Clock, Tick};

/// Failures in a row that open the breaker.
const FAILURES: u32 = 5;
/// How long it stays open before one call may try.
const PAUSE: Duration = Duration::from_secs(1);

/// Closed at first: calls pass. After [`FAILURES`] in a row it is open: for [`PAUSE`] none pass,
/// then one does, whose end closes it or keeps it open.
pub(crate) struct Breaker {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    failures: u32,
    /// When the next call may pass; nothing while it is closed.
    next: Option<Tick>,
}

impl Breaker {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Mutex::default() }
    }

    /// May a call be made now? Whoever is told so says how it ended, with [`Breaker::ended`].
    pub(crate) fn passes(&self) -> bool {
        let mut state = self.state();
        let Some(next) = state.next else { return true };
        let now = self.clock.tick();
        if now < next {
            return false;
        }
        // The next one waits for this one's end, or as long again if it has none.
        state.next = Some(now + PAUSE);
        true
    }

    /// Says how a call ended. True if it opened or closed the breaker.
    pub(crate) fn ended(&self, well: bool) -> bool {
        let mut state = self.state();
        let was_open = state.next.is_some();
        if well {
            *state = State::default();
        } else {
            state.failures = state.failures.saturating_add(1);
            if state.failures >= FAILURES {
                state.next = Some(self.clock.tick() + PAUSE);
            }
        }
        was_open != state.next.is_some()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use keystile_testkit::MockClock;

    use super::*;

    #[test]
    fn it_opens_after_failures_in_a_row_and_lets_one_call_a_pause_through() {
        let clock = MockClock::default();
        let breaker = Breaker::new(Arc::new(clock.clone()));
        for _ in 1..FAILURES {
            assert!(breaker.passes());
            assert!(!breaker.ended(false));
        }
        assert!(breaker.passes());
        assert!(breaker.ended(false), "opens");
        assert!(!breaker.passes());
        clock.advance(PAUSE);
        assert!(breaker.passes());
        assert!(!breaker.passes(), "one at a time");
        assert!(!breaker.ended(false));
        clock.advance(PAUSE);
        assert!(breaker.passes());
        assert!(breaker.ended(true), "closes");
        assert!(breaker.passes() && breaker.passes());
    }

    #[test]
    fn a_call_that_ends_well_forgives_the_failures_before_it() {
        let breaker = Breaker::new(Arc::new(MockClock::default()));
        for _ in 0..3 {
            for _ in 1..FAILURES {
                breaker.ended(false);
            }
            assert!(!breaker.ended(true));
        }
        assert!(breaker.passes());
    }
}
