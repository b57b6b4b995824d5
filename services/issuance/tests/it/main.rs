//! Issuance through its gRPC, as its callers see it.

mod audit;
mod cuts;
mod facts;
mod followers;
mod grants;
mod keys;
mod list;
mod plans;
mod release;
mod replicas;
mod rotation;
mod secrets;
mod store;
mod teams;
mod tenants;
mod world;
