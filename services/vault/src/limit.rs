//! How much goes out with one connection: at once, and over time, as the app's document says.
//!
//! Counted by this process alone: so many replicas of vault let so many times as much out.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use keystile_catalog::extension::{ConnectionLimits, Rate};
use keystile_domain::{Clock, ConnectionId, Tick};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Error;

/// Requests at once where the document names no limit.
const CONCURRENCY: u32 = 20;

/// Callers of one connection, those who wait included. More are turned away at once.
const MOST_CALLERS: usize = 1_000;

/// Idle connections are looked for once there are this many, and whenever there are twice as many
/// as were left the last time.
const SWEEP_AT: usize = 256;

/// The limits of every connection in use.
pub(crate) struct Limiter {
    clock: Arc<dyn Clock>,
    gates: Mutex<Gates>,
}

struct Gates {
    by_connection: HashMap<ConnectionId, Arc<Gate>>,
    sweep_at: usize,
}

struct Gate {
    limits: ConnectionLimits,
    places: Arc<Semaphore>,
    window: Option<Mutex<Window>>,
}

/// A place among the requests of one connection, until dropped.
pub(crate) struct Place {
    _place: OwnedSemaphorePermit,
    _gate: Arc<Gate>,
}

impl Limiter {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let gates = Gates { by_connection: HashMap::new(), sweep_at: SWEEP_AT };
        Self { clock, gates: Mutex::new(gates) }
    }

    /// Waits for its turn, until `ends` at most; whoever came first is first.
    ///
    /// # Errors
    /// [`Error::ConnectionBusy`] if no place is free by then, [`Error::ConnectionRateLimited`] at
    /// once if the rate does not allow it by then.
    pub(crate) async fn enter(
        &self,
        connection: ConnectionId,
        limits: &ConnectionLimits,
        ends: Tick,
    ) -> Result<Place, Error> {
        let gate = self.gate(connection, limits);
        // The map holds it, too.
        if Arc::strong_count(&gate) > MOST_CALLERS + 1 {
            return Err(Error::ConnectionBusy);
        }
        let left = ends.since(self.clock.tick());
        let place = tokio::time::timeout(left, Arc::clone(&gate.places).acquire_owned()).await;
        let place = place.ok().and_then(Result::ok).ok_or(Error::ConnectionBusy)?;
        if let Some(window) = &gate.window {
            let now = self.clock.tick();
            let turn = lock(window).reserve(now, ends).map_err(Error::ConnectionRateLimited)?;
            tokio::time::sleep(turn.since(now)).await;
        }
        Ok(Place { _place: place, _gate: gate })
    }

    fn gate(&self, connection: ConnectionId, limits: &ConnectionLimits) -> Arc<Gate> {
        let mut gates = lock(&self.gates);
        // Another version of the document begins anew.
        let known = gates.by_connection.get(&connection).filter(|gate| gate.limits == *limits);
        if let Some(gate) = known {
            return Arc::clone(gate);
        }
        if gates.by_connection.len() >= gates.sweep_at {
            let now = self.clock.tick();
            gates.by_connection.retain(|_, gate| !gate.is_idle(now));
            gates.sweep_at = SWEEP_AT.max(2 * gates.by_connection.len());
        }
        let gate = Arc::new(Gate::new(*limits));
        gates.by_connection.insert(connection, Arc::clone(&gate));
        gate
    }
}

impl Gate {
    fn new(limits: ConnectionLimits) -> Self {
        let places = limits.concurrency.unwrap_or(CONCURRENCY);
        Self {
            limits,
            places: Arc::new(Semaphore::new(usize::try_from(places).unwrap_or(usize::MAX))),
            window: limits.rate.map(|rate| Mutex::new(Window::new(rate))),
        }
    }

    /// Does only the map know it, and would a new one do the same?
    fn is_idle(self: &Arc<Self>, now: Tick) -> bool {
        let is_empty = |window: &Mutex<Window>| lock(window).is_empty(now);
        Arc::strong_count(self) == 1 && self.window.as_ref().is_none_or(is_empty)
    }
}

/// The parts of a window of time. What was sent is kept for this many and the one that runs, so no
/// window of the rate's length ever has more than the rate says; the price is a wait that is longer
/// by one part at most.
const SLICES: u64 = 64;

/// What a rate has let through: how many in each slice of time, in order, the latest perhaps still
/// to come.
struct Window {
    most: u32,
    /// Nanoseconds.
    slice: u64,
    taken: VecDeque<(u64, u32)>,
}

impl Window {
    fn new(rate: Rate) -> Self {
        let slice = nanos(rate.per) / SLICES;
        Self { most: rate.requests, slice, taken: VecDeque::new() }
    }

    /// Takes the next turn there is, and says when; if that is only after `latest`, takes none and
    /// says how long it is until then.
    fn reserve(&mut self, now: Tick, latest: Tick) -> Result<Tick, Duration> {
        let current = self.slice_of(now);
        let next = self.next(current);
        let turn = if next == current { now } else { self.start_of(next) };
        if turn > latest {
            return Err(turn.since(now));
        }
        self.forget_before(next);
        match self.taken.back_mut() {
            Some((slice, count)) if *slice == next => *count += 1,
            _ => self.taken.push_back((next, 1)),
        }
        Ok(turn)
    }

    /// The first slice from `current` on that has room, and is not before one that was given away.
    fn next(&self, current: u64) -> u64 {
        let mut next = self.taken.back().map_or(current, |(last, _)| current.max(*last));
        let mut within: u32 = self.taken.iter().map(|(_, count)| count).sum();
        for (slice, count) in &self.taken {
            let over = slice + SLICES + 1;
            if next < over && within < self.most {
                break;
            }
            next = next.max(over);
            within -= count;
        }
        next
    }

    fn forget_before(&mut self, current: u64) {
        while self.taken.front().is_some_and(|(slice, _)| slice + SLICES < current) {
            self.taken.pop_front();
        }
    }

    fn is_empty(&self, now: Tick) -> bool {
        let current = self.slice_of(now);
        self.taken.iter().all(|(slice, _)| slice + SLICES < current)
    }

    fn slice_of(&self, at: Tick) -> u64 {
        nanos(at.since_boot()) / self.slice
    }

    fn start_of(&self, slice: u64) -> Tick {
        Tick::from_boot(Duration::from_nanos(slice.saturating_mul(self.slice)))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What it guards is changed without a panic in between.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use keystile_testkit::MockClock;
    use uuid::Uuid;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn id(number: u128) -> ConnectionId {
        ConnectionId::from_uuid(Uuid::from_u128(number))
    }

    fn rate(requests: u32, seconds: u64) -> ConnectionLimits {
        let rate = Rate { requests, per: Duration::from_secs(seconds) };
        ConnectionLimits { concurrency: None, rate: Some(rate) }
    }

    fn at_once(concurrency: u32) -> ConnectionLimits {
        ConnectionLimits { concurrency: Some(concurrency), rate: None }
    }

    fn limiter() -> (Limiter, MockClock) {
        let clock = MockClock::default();
        (Limiter::new(Arc::new(clock.clone())), clock)
    }

    /// Turns as they are given to one who asks again and again, `step` later each time.
    fn turns(rate: Rate, asked: usize, step: Duration) -> Vec<Duration> {
        let mut window = Window::new(rate);
        let never = Tick::from_boot(Duration::from_hours(100));
        let begin = Duration::from_secs(1000);
        let turn = |ask| {
            let now = Tick::from_boot(begin + step * ask);
            window.reserve(now, never).expect("some day").since_boot()
        };
        (0..u32::try_from(asked).expect("few")).map(turn).collect()
    }

    #[test]
    fn no_window_of_the_rate_s_length_has_more_than_the_rate() {
        for (requests, seconds) in [(1, 1), (3, 1), (100, 10), (180, 60), (7, 3600)] {
            let per = Duration::from_secs(seconds);
            let rate = Rate { requests, per };
            let most = usize::try_from(requests).expect("few");
            for step in [Duration::ZERO, per / 1000, per / requests, per / 7 * 3] {
                let turns = turns(rate, most * 5, step);
                for (first, over) in turns.iter().zip(&turns[most..]) {
                    assert!(*over >= *first + per, "{requests}/{seconds}: {first:?} {over:?}");
                    // And it takes what there is, but for a slice or two.
                    let late = over.saturating_sub(*first + per);
                    assert!(step > per / requests || late <= per / 16, "{late:?} too late");
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn over_the_rate_it_waits_if_there_is_time_and_is_told_how_long_if_not() {
        let (limiter, clock) = limiter();
        let limits = rate(2, 10);
        let ends = clock.tick() + 3 * SECOND;
        for _ in 0..2 {
            limiter.enter(id(1), &limits, ends).await.expect("within the rate");
        }
        let refused = limiter.enter(id(1), &limits, ends).await.err();
        let Some(Error::ConnectionRateLimited(wait)) = refused else { panic!("{refused:?}") };
        assert!(wait >= 10 * SECOND && wait < 11 * SECOND, "{wait:?}");
        // Another connection has its own.
        limiter.enter(id(2), &limits, ends).await.expect("not the same");

        let ends = clock.tick() + 60 * SECOND;
        let waiting = limiter.enter(id(1), &limits, ends);
        let begun = tokio::time::sleep(9 * SECOND).then(async |()| ());
        tokio::select! {
            biased;
            _ = waiting => panic!("it did not wait"),
            () = begun => {}
        }
        clock.advance(11 * SECOND);
        let entered = limiter.enter(id(1), &limits, clock.tick());
        assert!(entered.await.is_ok(), "time makes room");
    }

    #[tokio::test(start_paused = true)]
    async fn places_go_to_who_waited_and_nobody_waits_longer_than_its_time() {
        let (limiter, clock) = limiter();
        let limits = at_once(2);
        let ends = clock.tick() + 30 * SECOND;
        let first = limiter.enter(id(1), &limits, ends).await.expect("free");
        let _second = limiter.enter(id(1), &limits, ends).await.expect("free");
        limiter.enter(id(2), &limits, ends).await.expect("of another connection");
        let busy = limiter.enter(id(1), &limits, ends).await.err();
        assert!(matches!(busy, Some(Error::ConnectionBusy)), "{busy:?}");

        let mut third = Box::pin(limiter.enter(id(1), &limits, ends));
        let mut fourth = Box::pin(limiter.enter(id(1), &limits, ends));
        assert!((&mut third).now_or_never().is_none());
        assert!((&mut fourth).now_or_never().is_none());
        drop(first);
        assert!((&mut fourth).now_or_never().is_none(), "the third came before");
        let third = third.await.expect("the place of the first");
        drop(third);
        assert!(fourth.await.is_ok());
    }

    #[tokio::test]
    async fn a_document_without_limits_has_one() {
        let (limiter, clock) = limiter();
        let mut places = Vec::new();
        for _ in 0..CONCURRENCY {
            let limits = ConnectionLimits::default();
            places.push(limiter.enter(id(1), &limits, clock.tick() + SECOND).await.expect("free"));
        }
        let over = limiter.enter(id(1), &ConnectionLimits::default(), clock.tick()).await;
        assert!(matches!(over.err(), Some(Error::ConnectionBusy)));
    }

    #[tokio::test]
    async fn more_callers_than_are_sensible_do_not_wait() {
        let (limiter, clock) = limiter();
        let ends = clock.tick() + Duration::from_hours(1);
        let limits = at_once(1);
        let mut waiting = Vec::new();
        for _ in 0..MOST_CALLERS {
            let mut enter = Box::pin(limiter.enter(id(1), &limits, ends));
            let entered = (&mut enter).now_or_never().map(|entered| entered.expect("free"));
            waiting.push((enter, entered));
        }
        let over = limiter.enter(id(1), &limits, ends).now_or_never().expect("at once");
        assert!(matches!(over.err(), Some(Error::ConnectionBusy)));
    }

    #[tokio::test]
    async fn idle_connections_are_forgotten_and_busy_ones_are_not() {
        let (limiter, clock) = limiter();
        let ends = clock.tick() + SECOND;
        let limits = rate(1, 60);
        let _held = limiter.enter(id(0), &at_once(1), ends).await.expect("free");
        let many = u128::try_from(SWEEP_AT).expect("few");
        for number in 1..many {
            limiter.enter(id(number), &limits, ends).await.expect("free");
        }
        let known = || lock(&limiter.gates).by_connection.len();
        limiter.enter(id(many), &limits, ends).await.expect("free");
        assert_eq!(known(), SWEEP_AT + 1, "their windows are not over");
        clock.advance(Duration::from_mins(2));
        for number in many + 1..3 * many {
            limiter.enter(id(number), &limits, clock.tick()).await.expect("free");
        }
        assert!(known() < 2 * SWEEP_AT + 2, "{}", known());
        let busy = limiter.enter(id(0), &at_once(1), clock.tick()).await;
        assert!(matches!(busy.err(), Some(Error::ConnectionBusy)));
    }
}
