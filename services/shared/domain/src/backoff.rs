//! Pauses between attempts: doubling, with jitter, so that many who lost one peer do not return at
//! once.

use std::{sync::Arc, time::Duration};

use crate::entropy::{self, Entropy};

/// The pauses of one series of attempts.
pub struct Backoff {
    entropy: Arc<dyn Entropy>,
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    /// Pauses whose length doubles from `min` to `max`.
    #[must_use]
    pub fn new(min: Duration, max: Duration, entropy: Arc<dyn Entropy>) -> Self {
        Self { entropy, min, max, next: min }
    }

    /// The next pause: between half and all of a length that doubles.
    pub fn pause(&mut self) -> Duration {
        let full = self.next;
        self.next = (full * 2).min(self.max);
        let [random] = entropy::bytes(&*self.entropy);
        full / 2 + full / 2 * u32::from(random) / 255
    }

    /// The last attempt was good: the next pause is the first again.
    pub fn reset(&mut self) {
        self.next = self.min;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Draws the same byte always.
    struct Same(u8);

    impl Entropy for Same {
        fn fill(&self, out: &mut [u8]) {
            out.fill(self.0);
        }
    }

    fn backoff(byte: u8) -> Backoff {
        Backoff::new(Duration::from_millis(100), Duration::from_millis(500), Arc::new(Same(byte)))
    }

    fn pauses(backoff: &mut Backoff) -> [u128; 5] {
        std::array::from_fn(|_| backoff.pause().as_millis())
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_anew_after_what_was_good() {
        let mut longest = backoff(u8::MAX);
        assert_eq!(pauses(&mut longest), [100, 200, 400, 500, 500]);
        longest.reset();
        assert_eq!(pauses(&mut longest), [100, 200, 400, 500, 500]);
    }

    #[test]
    fn chance_takes_no_more_than_half() {
        assert_eq!(pauses(&mut backoff(0)), [50, 100, 200, 250, 250]);
        assert_eq!(pauses(&mut backoff(51)), [60, 120, 240, 300, 300]);
    }
}
