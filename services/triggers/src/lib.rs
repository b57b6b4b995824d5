//! keystile-triggers
