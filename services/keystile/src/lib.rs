//! keystile
