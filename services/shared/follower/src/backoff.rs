//! Pauses between attempts: doubling, with jitter, so that many followers do not return at once.

use std::{sync::Arc, time::Duration};

use keystile_domain::{Entropy, entropy};

use crate::Settings;

pub(crate) struct Backoff {
    entropy: Arc<dyn Entropy>,
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(settings: &Settings, entropy: Arc<dyn Entropy>) -> Self {
        let (min, max) = (settings.backoff_min, settings.backoff_max);
        Self { entropy, min, max, next: min }
    }

    /// The next pause: between half and all of a length that doubles.
    pub(crate) fn pause(&mut self) -> Duration {
        let full = self.next;
        self.next = (full * 2).min(self.max);
        let [random] = entropy::bytes(&*self.entropy);
        full / 2 + full / 2 * u32::from(random) / 255
    }

    /// The last attempt was good.
    pub(crate) fn reset(&mut self) {
        self.next = self.min;
    }
}
