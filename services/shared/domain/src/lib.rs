//! The words of Keystile as types: ids, the token, grants, facts, the verdict, permissions, time.
//!
//! Owns every rule that needs no I/O: what a token looks like and who may have minted it, which
//! request a key's facts allow, which role may do what.
//!
//! Never: performs I/O, reads a clock or a random source of its own, or names a transport or a
//! database. Everything here can be tested with plain values.

pub mod backoff;
pub mod base62;
pub mod clock;
pub mod component;
pub mod entropy;
pub mod environment;
pub mod error;
pub mod facts;
pub mod grant;
pub mod id;
pub mod limits;
pub mod log;
pub mod name;
pub mod path;
pub mod permission;
pub mod plan;
pub mod role;
pub mod setting;
pub mod token;
pub mod verdict;

pub use backoff::Backoff;
pub use clock::{Clock, Tick};
pub use component::{AppKey, ComponentId, ComponentKind};
pub use entropy::Entropy;
pub use environment::Environment;
pub use error::ErrorKind;
pub use grant::Grant;
pub use id::{
    AuditId, ConnectionId, Incarnation, IntegrationId, KeyId, ManagementTokenId, OperationId,
    RunId, SecretId, TeamId, TriggerId, UserId,
};
pub use log::{Position, Scope};
pub use permission::{Actor, MemberRole, Permission};
pub use role::Role;
pub use setting::InvalidSetting;
pub use verdict::{Refusal, Verdict};
