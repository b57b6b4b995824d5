//! keystile-tests
