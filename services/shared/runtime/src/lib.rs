//! keystile-runtime
