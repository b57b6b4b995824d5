//! keystile-cache
