//! keystile-egress
