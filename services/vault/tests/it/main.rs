//! Vault through its gRPC face, with a real outside app on loopback, SQLite in a file and a double
//! of issuance.

mod actions;
mod apps;
mod connections;
mod cuts;
mod fence;
mod idempotency;
mod integrations;
mod issuance;
mod limits;
mod oauth;
mod refresh;
mod retries;
mod rotation;
mod sealed;
mod teams;
mod world;
