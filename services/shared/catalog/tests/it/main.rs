//! The catalog through its public API.

mod documents;
mod limits;
mod requests;
mod security;
mod shipped;
mod support;
