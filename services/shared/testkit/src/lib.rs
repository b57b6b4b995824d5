//! Doubles and private servers for tests. A dev-dependency only.
//!
//! Never: linked into the binary.

pub mod clock;
pub mod entropy;
pub mod log;
pub mod upstream;

pub use clock::MockClock;
pub use entropy::SeededEntropy;
pub use log::LogDouble;
pub use upstream::Upstream;
