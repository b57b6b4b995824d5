//! keystile-catalog
