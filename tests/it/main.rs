//! End-to-end tests: the product from outside, in whatever shape the harness starts it.

mod layout;
mod token_format;
