//! Randomness, injected.

/// A cryptographically secure source of random bytes. Production uses `runtime::SystemEntropy`,
/// tests `testkit::SeededEntropy`.
pub trait Entropy: Send + Sync + 'static {
    /// Overwrites `out` with random bytes.
    fn fill(&self, out: &mut [u8]);
}

/// Draws a fixed number of bytes.
pub fn bytes<const N: usize>(entropy: &dyn Entropy) -> [u8; N] {
    let mut out = [0; N];
    entropy.fill(&mut out);
    out
}
