//! keystile-follower
