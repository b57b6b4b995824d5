//! The machine's randomness.

use keystile_domain::Entropy;
use rand::Rng as _;

/// The thread's `ChaCha` generator, seeded and reseeded by the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    #[expect(clippy::disallowed_methods, reason = "the one place that draws randomness")]
    fn fill(&self, out: &mut [u8]) {
        rand::rng().fill_bytes(out);
    }
}

#[cfg(test)]
mod tests {
    use keystile_domain::entropy::bytes;

    use super::*;

    #[test]
    fn two_draws_differ() {
        assert_ne!(bytes::<32>(&SystemEntropy), bytes::<32>(&SystemEntropy));
    }
}
