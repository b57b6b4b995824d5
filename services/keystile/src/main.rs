//! The keystile binary.
fn main() {}
