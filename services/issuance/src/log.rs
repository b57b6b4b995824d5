//! The log, for followers: register, renew, watch, retire. Design §6.

mod register;
mod renew;
mod retire;
mod watch;

pub use register::{Registered, Registration};
pub use renew::Renewed;
pub(crate) use retire::Leaving;
pub use watch::Rows;
