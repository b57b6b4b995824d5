//! Doubles and private servers for tests. A dev-dependency only.
//!
//! Never: linked into the binary.

pub mod apps;
mod backends;
pub mod clock;
pub mod collector;
pub mod entropy;
pub mod log;
pub mod ports;
pub mod postgres;
mod process;
pub mod provider;
pub mod redis;
pub mod softhsm;
pub mod tls;
pub mod upstream;
pub mod wait;

pub use apps::AppsDouble;
pub use clock::MockClock;
pub use collector::Collector;
pub use entropy::SeededEntropy;
pub use log::LogDouble;
pub use ports::Ports;
pub use postgres::Postgres;
pub use provider::Provider;
pub use redis::Redis;
pub use softhsm::SoftHsm;
pub use tls::Authority;
pub use upstream::{Next, Upstream};
pub use wait::eventually;
