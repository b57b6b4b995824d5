//! keystile-sql
