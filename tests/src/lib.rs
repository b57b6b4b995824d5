//! The harness of the end-to-end tests: starts the product and talks to it as a user would.
//!
//! Owns processes, folders and sockets of a test, and removes them. Never: reaches into a service.

pub mod api;
pub mod browser;
pub mod cluster;
pub mod provider;
pub mod raw;
mod shape;
pub mod wire;

use std::time::Duration;

use keystile_domain::Clock as _;
use keystile_runtime::SystemClock;
use time::format_description::well_known::Rfc3339;

pub use api::{Api, Reply};
pub use browser::Browser;
pub use cluster::{Cluster, deployment::Deployment};
pub use provider::Provider;
pub use wire::Wire;

/// An instant one hour from now, as APIs write it.
///
/// # Panics
/// If the clock stands outside the calendar.
#[must_use]
pub fn in_an_hour() -> String {
    let at = SystemClock.now() + Duration::from_hours(1);
    at.format(&Rfc3339).expect("an instant of this age")
}
