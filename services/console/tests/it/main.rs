//! The console through its REST API, with doubles for issuance and vault.

mod access;
mod api;
mod audit;
mod connections;
mod integrations;
mod issuance;
mod keys;
mod store;
mod vault;
mod world;
