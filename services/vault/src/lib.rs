//! keystile-vault
