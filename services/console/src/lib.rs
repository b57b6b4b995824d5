//! keystile-console
