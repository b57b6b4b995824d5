//! Connections, as this API shows them.

use keystile_contract::{
    convert,
    proto::vault::v1::{self as proto, ConnectionStatus},
};
use keystile_runtime::Problem;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

/// A linked account.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::rest) struct Connection {
    /// `conn_…`
    id: String,
    app_key: String,
    /// What people call it.
    name: String,
    /// `active`, `expired`, `revoked`, `missing_scopes` or `failing`.
    status: &'static str,
    /// Why it is not active.
    status_reason: Option<String>,
    /// `bearer`, `basic`, `api_key`, `fields` (several secrets together) or `oauth2`.
    auth_scheme: String,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    /// When a call last went out with it.
    #[serde(with = "time::serde::rfc3339::option")]
    last_used_at: Option<OffsetDateTime>,
    /// `int_…`, the client that it was connected through; null without OAuth.
    integration_id: Option<String>,
    /// What the provider granted; empty without OAuth.
    scopes: Vec<String>,
    /// When its access token ends, if the provider said so. Keystile renews it before.
    #[serde(with = "time::serde::rfc3339::option")]
    expires_at: Option<OffsetDateTime>,
}

impl Connection {
    /// # Errors
    /// 500 if the service left something out.
    pub(in crate::rest) fn of(connection: Option<proto::Connection>) -> Result<Self, Problem> {
        let connection = connection.ok_or_else(Problem::internal)?;
        let status = status(connection.status()).ok_or_else(Problem::internal)?;
        let created_at = connection.created_at.as_ref().and_then(convert::wall);
        Ok(Self {
            status,
            created_at: created_at.ok_or_else(Problem::internal)?,
            last_used_at: connection.last_used_at.as_ref().and_then(convert::wall),
            expires_at: connection.expires_at.as_ref().and_then(convert::wall),
            status_reason: some(connection.status_reason),
            integration_id: some(connection.integration_id),
            id: connection.id,
            app_key: connection.app_key,
            name: connection.name,
            auth_scheme: connection.auth_scheme,
            scopes: connection.scopes,
        })
    }
}

/// The word for a status; `None` if the service gave none.
pub(in crate::rest) const fn status(status: ConnectionStatus) -> Option<&'static str> {
    match status {
        ConnectionStatus::Active => Some("active"),
        ConnectionStatus::Expired => Some("expired"),
        ConnectionStatus::Revoked => Some("revoked"),
        ConnectionStatus::MissingScopes => Some("missing_scopes"),
        ConnectionStatus::Failing => Some("failing"),
        ConnectionStatus::Unspecified => None,
    }
}

fn some(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// What came of a test.
#[derive(Serialize, ToSchema)]
pub(in crate::rest) struct Tested {
    /// Did the app accept the credential?
    pub(super) ok: bool,
    /// One sentence for a person.
    pub(super) detail: String,
    pub(super) connection: Connection,
}
