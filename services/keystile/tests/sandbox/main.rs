//! The sandbox over real sockets.

mod notes;
mod running;
