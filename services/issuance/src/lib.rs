//! keystile-issuance
