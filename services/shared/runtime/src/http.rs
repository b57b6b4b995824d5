//! The HTTP edge: what every listener does to every request before a handler sees it.

mod client_ip;
mod harden;
pub mod json;
mod limits;
mod request_id;
mod serve;

pub use client_ip::client_ip;
pub use harden::harden;
pub use json::StrictJson;
pub use limits::Limits;
pub use request_id::RequestId;
pub use serve::{local, serve};
