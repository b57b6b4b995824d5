//! What one request and one connection may take.

use std::time::Duration;

/// Limits of an HTTP listener. The defaults suit the public edge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The largest request body in bytes; beyond it 413.
    pub body_bytes: usize,
    /// The most header fields of a request; beyond it 431.
    pub header_count: usize,
    /// The most bytes of all header names and values together; beyond it 431.
    pub header_bytes: usize,
    /// The longest path and query in bytes; beyond it 414.
    pub uri_bytes: usize,
    /// How long a handler may take, reading the body included; beyond it 504.
    pub request_timeout: Duration,
    /// How long a client may take to send its headers, and to send anything at all.
    pub header_timeout: Duration,
    /// The most connections at once; more wait in the operating system's queue.
    pub connections: usize,
    /// The most requests at once on one HTTP/2 connection.
    pub streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 1024 * 1024,
            header_count: 64,
            header_bytes: 16 * 1024,
            uri_bytes: 8 * 1024,
            request_timeout: Duration::from_mins(1),
            header_timeout: Duration::from_secs(10),
            connections: 10_000,
            streams: 100,
        }
    }
}
