//! The guarded HTTP client, design §9: the only way in which Keystile calls an outside app.
//!
//! Owns what stands between a key holder and the network: which addresses may be dialled
//! ([`address`], [`Policy`]), which redirects are followed, how long and how large an exchange may
//! grow, how a credential is put on a request and kept out of the answer.
//!
//! One function decides on every address, at the only place that opens a socket, for literal hosts
//! and resolved names alike: what was checked is what is dialled. A connection is reused for the
//! same scheme, host and port of the same [`Client`], so it was checked under the same [`Policy`].
//!
//! Never: reads proxy variables, keeps cookies, decompresses, sends a credential to another origin,
//! or puts a credential, a URL or a driver's text in an error.

pub mod address;
mod body;
mod client;
mod credential;
mod dial;
mod error;
mod gate;
mod headers;
mod policy;
mod redirect;
mod resolve;
mod scrub;
mod target;
mod tls;

pub use body::Body;
pub use client::{Client, Request, Response, Trace};
pub use credential::Credential;
pub use error::{Error, RedirectFault, UrlFault};
pub use policy::{Allow, HostPort, InvalidHostPort, Limits, Policy};
pub use resolve::{Resolve, SystemResolver, Unresolved};
