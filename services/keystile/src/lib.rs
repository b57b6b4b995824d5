//! The product: the six services wired together, and the commands that run them.
//!
//! Owns the configuration as a whole, the wiring ([`wire`] is the only place that names every
//! service), the sandbox app of `keystile dev`, and the command line.
//!
//! Never: holds a rule of the product. What a key may do, when a cut returns and what is stored is
//! decided in the services.

pub mod advice;
pub mod args;
pub mod bootstrap;
pub mod certs;
pub mod cli;
pub mod dev;
pub mod migrate;
pub mod ready;
pub mod sandbox;
pub mod secrets;
pub mod serve;
pub mod settings;
pub mod vault;
pub mod wire;

pub use settings::Settings;
