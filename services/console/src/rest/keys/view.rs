//! Keys, as this API shows them.

use axum::{http::StatusCode, response::Response};
use keystile_contract::{
    convert,
    proto::{common::v1 as common, issuance::v1 as proto},
};
use keystile_runtime::Problem;
use serde::Serialize;
use time::OffsetDateTime;
use utoipa::ToSchema;

use super::health::Healths;
use crate::rest::{
    Answer,
    outcome::{Outcome, answer},
};

/// A key. Never a secret, nor what is stored of one.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Key)]
pub(in crate::rest) struct KeyView {
    /// `key_…`
    id: String,
    /// What people call it.
    name: String,
    /// What it is for.
    description: String,
    /// `prod`, `stg` or `dev`.
    environment: &'static str,
    /// `active`, `disabled` or `revoked`.
    status: &'static str,
    /// `pk_…`
    public_key: String,
    /// How lists show the token.
    masked_token: String,
    /// When it stops by itself.
    #[serde(with = "time::serde::rfc3339::option")]
    expires_at: Option<OffsetDateTime>,
    /// CIDR blocks it may be used from; empty is anywhere.
    ip_allow_list: Vec<String>,
    limits: Limits,
    /// What it may do. Empty: no access.
    connections: Vec<Grant>,
    /// One, or two during an overlap.
    secrets: Vec<Secret>,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    /// When it last changed.
    #[serde(with = "time::serde::rfc3339")]
    updated_at: OffsetDateTime,
    /// `user_…` who made it.
    created_by: String,
}

/// How much a key may be used. Null is unlimited.
#[derive(Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = KeyLimits)]
pub(in crate::rest) struct Limits {
    requests_per_minute: Option<u32>,
    requests_per_month: Option<u64>,
}

/// What a key may do with one app.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = KeyGrant)]
pub(in crate::rest) struct Grant {
    app_key: String,
    /// `conn_…`
    connection_id: Option<String>,
    /// `active`, `expired`, `revoked`, `missing_scopes`, `failing` or `deleted`. Null without a
    /// connection, where vault did not answer, and in the answers of changes.
    connection_status: Option<&'static str>,
    /// Why the connection is not active.
    connection_status_reason: Option<String>,
    /// `int_…`
    integration_id: Option<String>,
    allowed_components: Vec<String>,
}

/// One secret of a key, by what may be told of it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = KeySecret)]
pub(in crate::rest) struct Secret {
    /// `sec_…`
    id: String,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    /// When it stops working; null for the current one.
    #[serde(with = "time::serde::rfc3339::option")]
    not_after: Option<OffsetDateTime>,
    /// The token key that minted it.
    token_key_version: u32,
}

fn instant(stamp: Option<&prost_types::Timestamp>) -> Result<OffsetDateTime, Problem> {
    stamp.and_then(convert::wall).ok_or_else(Problem::internal)
}

fn maybe(stamp: Option<&prost_types::Timestamp>) -> Result<Option<OffsetDateTime>, Problem> {
    stamp.map(|stamp| instant(Some(stamp))).transpose()
}

fn some(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

impl KeyView {
    /// # Errors
    /// 500 if the service left something out.
    pub(super) fn of(key: Option<proto::Key>) -> Result<Self, Problem> {
        let key = key.ok_or_else(Problem::internal)?;
        let status = match key.status() {
            proto::KeyStatus::Active => "active",
            proto::KeyStatus::Disabled => "disabled",
            proto::KeyStatus::Revoked => "revoked",
            proto::KeyStatus::Unspecified => return Err(Problem::internal()),
        };
        let environment =
            convert::from_environment(key.environment()).ok_or_else(Problem::internal)?;
        let secrets = key.secrets.into_iter().map(|secret| {
            Ok(Secret {
                created_at: instant(secret.created_at.as_ref())?,
                not_after: maybe(secret.not_after.as_ref())?,
                id: secret.id,
                token_key_version: secret.token_key_version,
            })
        });
        Ok(Self {
            environment: environment.as_str(),
            status,
            expires_at: maybe(key.expires_at.as_ref())?,
            created_at: instant(key.created_at.as_ref())?,
            updated_at: instant(key.updated_at.as_ref())?,
            secrets: secrets.collect::<Result<_, Problem>>()?,
            connections: key.grants.into_iter().map(Grant::of).collect(),
            limits: key.limits.map(Limits::of).unwrap_or_default(),
            id: key.id,
            name: key.name,
            description: key.description,
            public_key: key.public_key,
            masked_token: key.masked_token,
            ip_allow_list: key.ip_allow_list,
            created_by: key.created_by,
        })
    }
}

impl KeyView {
    /// The connections that it may use.
    pub(super) fn connections(&self) -> impl Iterator<Item = &str> {
        self.connections.iter().filter_map(|grant| grant.connection_id.as_deref())
    }

    /// Says how they are.
    pub(super) fn tell(&mut self, known: &Healths) {
        for grant in &mut self.connections {
            let health = grant.connection_id.as_ref().and_then(|id| known.get(id));
            grant.connection_status = health.and_then(|health| health.status);
            grant.connection_status_reason = health.and_then(|own| some(own.reason.clone()));
        }
    }
}

impl Limits {
    const fn of(limits: common::Limits) -> Self {
        Self {
            requests_per_minute: limits.requests_per_minute,
            requests_per_month: limits.requests_per_month,
        }
    }
}

impl Grant {
    fn of(grant: common::Grant) -> Self {
        Self {
            app_key: grant.app_key,
            connection_id: some(grant.connection_id),
            connection_status: None,
            connection_status_reason: None,
            integration_id: some(grant.integration_id),
            allowed_components: grant.allowed_components,
        }
    }
}

/// A key after a change, and how the change ended.
#[derive(Serialize, ToSchema)]
pub(in crate::rest) struct Changed {
    #[serde(flatten)]
    outcome: Outcome,
    key: KeyView,
    /// The new token, where the change made one: shown here and never again.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

impl Changed {
    /// `done` with the key, or 202 while the change is pending.
    pub(super) fn answer(
        done: StatusCode,
        key: Option<proto::Key>,
        token: Option<String>,
        outcome: Option<common::Outcome>,
    ) -> Answer<Response> {
        let body = Self { outcome: Outcome::of(outcome)?, key: KeyView::of(key)?, token };
        Ok(answer(done, body.outcome.status, body))
    }
}
