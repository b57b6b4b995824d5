//! The sandbox over real sockets.

mod authorize;
mod clients;
mod codes;
mod notes;
mod running;
mod tokens;
