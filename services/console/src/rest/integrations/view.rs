//! Integrations, as this API shows them.

use axum::{http::StatusCode, response::Response};
use keystile_contract::{
    convert,
    proto::{
        common::v1 as common,
        vault::v1::{self as proto, IntegrationStatus},
    },
};
use keystile_runtime::Problem;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::body::GrantType;
use crate::rest::{
    Answer,
    outcome::{Outcome, answer},
};

/// A team's own OAuth client for an app. Never its secret.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::rest) struct Integration {
    /// `int_…`
    id: String,
    app_key: String,
    /// What people call it.
    name: String,
    /// `draft` (no account can be connected through it until it was checked), `configured` or
    /// `disabled`.
    status: &'static str,
    /// Why it is a draft, if a check or a change made it so.
    status_reason: Option<String>,
    /// How accounts are connected.
    #[schema(inline)]
    grant_type: GrantType,
    /// As the provider knows it.
    client_id: String,
    has_client_secret: bool,
    /// What is asked for when an account is connected.
    scopes: Vec<String>,
    /// Where the provider sends the browser back: register it there. Null for client credentials.
    callback_url: Option<String>,
    /// Where programs may have the browser sent after a connection.
    return_urls: Vec<String>,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    /// Counts its changes: give it with one, so that no other's is lost.
    version: u64,
}

impl Integration {
    /// # Errors
    /// 500 if the service left something out.
    pub(super) fn of(integration: Option<proto::Integration>) -> Result<Self, Problem> {
        let integration = integration.ok_or_else(Problem::internal)?;
        let status = match integration.status() {
            IntegrationStatus::Draft => "draft",
            IntegrationStatus::Configured => "configured",
            IntegrationStatus::Disabled => "disabled",
            IntegrationStatus::Unspecified => return Err(Problem::internal()),
        };
        let grant_type = GrantType::of(integration.grant_type()).ok_or_else(Problem::internal)?;
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        let created_at = integration.created_at.as_ref().and_then(convert::wall);
        Ok(Self {
            status,
            grant_type,
            created_at: created_at.ok_or_else(Problem::internal)?,
            status_reason: some(integration.status_reason),
            callback_url: some(integration.callback_url),
            id: integration.id,
            app_key: integration.app_key,
            name: integration.name,
            client_id: integration.client_id,
            has_client_secret: integration.has_client_secret,
            scopes: integration.scopes,
            return_urls: integration.return_urls,
            version: integration.version,
        })
    }
}

/// What came of a check.
#[derive(Serialize, ToSchema)]
pub(in crate::rest) struct Checked {
    /// Does the provider know the client?
    pub(super) ok: bool,
    /// One sentence for a person.
    pub(super) detail: String,
    pub(super) integration: Integration,
}

/// An integration after a change, and how the change ended.
#[derive(Serialize, ToSchema)]
pub(in crate::rest) struct Switched {
    #[serde(flatten)]
    outcome: Outcome,
    integration: Integration,
}

impl Switched {
    /// 200 with the integration, or 202 while the change is pending.
    pub(super) fn answer(
        integration: Option<proto::Integration>,
        outcome: Option<common::Outcome>,
    ) -> Answer<Response> {
        let outcome = Outcome::of(outcome)?;
        let body = Self { outcome, integration: Integration::of(integration)? };
        Ok(answer(StatusCode::OK, body.outcome.status, body))
    }
}
