//! keystile-testkit
