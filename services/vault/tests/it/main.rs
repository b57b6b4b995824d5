//! Vault through its gRPC face, with a real outside app on loopback, SQLite in a file and a double
//! of issuance.

mod actions;
mod apps;
mod connections;
mod cuts;
mod fence;
mod integrations;
mod issuance;
mod oauth;
mod refresh;
mod sealed;
mod teams;
mod world;
