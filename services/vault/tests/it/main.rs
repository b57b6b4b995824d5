//! Vault through its gRPC face, with a real outside app on loopback, SQLite in a file and a double
//! of issuance.

mod actions;
mod connections;
mod cuts;
mod fence;
mod issuance;
mod rotation;
mod sealed;
mod teams;
mod world;
