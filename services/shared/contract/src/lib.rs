//! What the services say to one another: generated messages, and everything both ends share.
//!
//! Owns the mapping of errors to gRPC ([`status`]), sealed messages ([`seal`], [`actor`],
//! [`capability`]), the table of who may call what ([`identity`]), the conversions between messages
//! and domain types ([`convert`]) and the one transport that is a socket or a function call
//! ([`transport`]).
//!
//! Never: opens a socket, decides about a key, or knows what a service does with a message.

pub mod actor;
pub mod capability;
pub mod convert;
pub mod deadline;
pub mod identity;
mod redacted;
pub mod seal;
pub mod status;
pub mod transport;

pub use identity::Identity;
pub use seal::SealKeys;
pub use status::Failure;
pub use transport::Transport;

/// Code generated from `proto/`. Its documentation is in the `.proto` files.
#[expect(missing_docs, clippy::pedantic, clippy::large_enum_variant, reason = "generated")]
pub mod proto {
    pub mod common {
        pub mod v1 {
            tonic::include_proto!("keystile.common.v1");
        }
    }
    pub mod issuance {
        pub mod v1 {
            tonic::include_proto!("keystile.issuance.v1");
        }
    }
    pub mod verification {
        pub mod v1 {
            tonic::include_proto!("keystile.verification.v1");
        }
    }
    pub mod vault {
        pub mod v1 {
            tonic::include_proto!("keystile.vault.v1");
        }
    }
    pub mod triggers {
        pub mod v1 {
            tonic::include_proto!("keystile.triggers.v1");
        }
    }
}

/// The encoded descriptors of all of `proto/`, for reflection where an operator turns it on.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
