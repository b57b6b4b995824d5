//! End-to-end tests: the product from outside, in whatever shape the harness starts it.

mod bad_input;
mod config_samples;
mod faults;
mod grpc;
mod idempotency;
mod idle;
mod layout;
mod oauth;
mod power_cut;
mod rotate_kek;
mod secrets;
mod spine;
mod system_calls;
mod telemetry;
mod tenants;
mod token_format;
