//! What every process needs around its services: clocks, configuration, secrets, certificates,
//! listeners, the ways to other processes, problems, health, telemetry and an orderly end.
//!
//! Owns every read of the environment, the wall clock, randomness and signals, the HTTP and gRPC
//! server stacks, and the one table of error kinds over HTTP.
//!
//! Never: knows a service, opens a database, or decides about a key.

pub mod certs;
pub mod clock;
pub mod config;
pub mod data_dir;
pub mod entropy;
pub mod grpc;
pub mod health;
pub mod http;
pub mod lifecycle;
mod listen;
pub mod memory;
pub mod mtls;
pub mod problem;
pub mod secrets;
mod serde_words;
pub mod telemetry;

pub use clock::SystemClock;
pub use data_dir::DataDir;
pub use entropy::SystemEntropy;
pub use lifecycle::Drain;
pub use problem::Problem;
