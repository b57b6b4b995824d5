//! The harness of the end-to-end tests: starts the product and talks to it as a user would.
//!
//! Owns processes, folders and sockets of a test, and removes them. Never: reaches into a service.

pub mod api;
pub mod cluster;
pub mod raw;

pub use api::{Api, Reply};
pub use cluster::Cluster;
