//! The gRPC server stack: the same layers for a call within this process and for one over TCP.

mod ending;
mod peer;
mod serve;
mod stack;

use std::time::Duration;

pub use peer::{InvalidPeers, Peers, peer};
pub use serve::{Callers, NotLoopback, serve};
pub use stack::{Stack, stack};
use tonic::{Code, body::Body};

/// What one call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long a call without `grpc-timeout` may take until its answer begins.
    pub default_timeout: Duration,
    /// The longest that a caller may ask for.
    pub max_timeout: Duration,
    /// The most TCP connections at once.
    pub connections: usize,
    /// The most calls at once on one connection.
    pub streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            default_timeout: Duration::from_secs(10),
            // A little more than the longest request of the gateway.
            max_timeout: Duration::from_secs(310),
            connections: 1_000,
            streams: 1_000,
        }
    }
}

/// Service and method of a call's path; a path of another form is a method of no service.
pub(crate) fn method(path: &str) -> (&str, &str) {
    path.trim_start_matches('/').split_once('/').unwrap_or(("", path))
}

/// The status with which an answer begins: that of one that is only a status, else OK.
pub(crate) fn code(response: &http::Response<Body>) -> Code {
    response
        .headers()
        .get("grpc-status")
        .map_or(Code::Ok, |status| Code::from_bytes(status.as_bytes()))
}
