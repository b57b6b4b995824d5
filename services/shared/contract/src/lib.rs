//! keystile-contract
