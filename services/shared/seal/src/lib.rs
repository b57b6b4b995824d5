//! keystile-seal
