//! The guarded client against real sockets on loopback.

#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

mod addresses;
mod bounds;
mod credentials;
mod proxies;
mod redirects;
mod support;
mod wire;
