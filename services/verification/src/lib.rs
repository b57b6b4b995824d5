//! keystile-verification
