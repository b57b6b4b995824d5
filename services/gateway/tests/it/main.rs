//! The gateway through its sockets, between doubles of the services behind it.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops here")]

mod connect;
mod connects;
mod discovery;
mod document;
mod edge;
mod enforcement;
mod own_apps;
mod run;
mod support;
