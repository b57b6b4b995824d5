//! keystile-gateway
