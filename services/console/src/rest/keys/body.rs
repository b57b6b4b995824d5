//! What requests about keys carry.

use keystile_contract::{
    convert,
    proto::{
        common::v1 as common,
        issuance::v1::{
            CreateKeyRequest, Expiry, IpAllowList, KeySort, KeyStatus, UpdateKeyRequest,
        },
    },
};
use keystile_domain::{AppKey, ComponentId, ConnectionId, Environment, KeyId, OperationId};
use serde::Deserialize;
use time::OffsetDateTime;
use utoipa::{IntoParams, ToSchema};

use crate::rest::{
    member::{nullable, present},
    page::PageSize,
};

/// A page of keys.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::rest) struct ListKeys {
    /// `nextCursor` of the page before; the filters and the order must be the same.
    pub(super) cursor: Option<String>,
    /// 1 to 200.
    #[serde(default)]
    #[param(value_type = u32)]
    pub(super) page_size: PageSize,
    /// Only names that contain this, ignoring case.
    pub(super) name: Option<String>,
    /// Only this environment: `prod`, `stg` or `dev`.
    #[param(value_type = Option<String>)]
    pub(super) environment: Option<Environment>,
    /// Only this status.
    #[param(inline)]
    pub(super) status: Option<StatusFilter>,
    /// Only keys with a grant for this app.
    #[param(value_type = Option<String>)]
    pub(super) app: Option<AppKey>,
    /// The order; newest first unless told.
    #[param(inline)]
    pub(super) sort: Option<Sort>,
}

#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::rest) enum StatusFilter {
    Active,
    Disabled,
    Revoked,
}

impl StatusFilter {
    pub(super) const fn proto(self) -> KeyStatus {
        match self {
            Self::Active => KeyStatus::Active,
            Self::Disabled => KeyStatus::Disabled,
            Self::Revoked => KeyStatus::Revoked,
        }
    }
}

#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
pub(in crate::rest) enum Sort {
    /// Newest first.
    #[default]
    #[serde(rename = "-created_at")]
    Newest,
    /// Oldest first.
    #[serde(rename = "created_at")]
    Oldest,
    /// A first.
    #[serde(rename = "name")]
    Name,
    /// Z first.
    #[serde(rename = "-name")]
    NameBackwards,
}

impl Sort {
    pub(super) const fn proto(self) -> KeySort {
        match self {
            Self::Newest => KeySort::CreatedDesc,
            Self::Oldest => KeySort::CreatedAsc,
            Self::Name => KeySort::NameAsc,
            Self::NameBackwards => KeySort::NameDesc,
        }
    }
}

/// What a key may do with one app.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = NewGrant)]
pub(in crate::rest) struct AppGrant {
    #[schema(value_type = String, example = "sandbox")]
    app_key: AppKey,
    /// `conn_…`; absent where the app needs no account.
    #[schema(value_type = Option<String>)]
    connection_id: Option<ConnectionId>,
    /// At least one.
    #[schema(value_type = Vec<String>, example = json!(["action.sandbox.echo"]))]
    allowed_components: Vec<ComponentId>,
}

/// What a key may do with the app of the path.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = PutGrant)]
pub(in crate::rest) struct GrantBody {
    /// `conn_…`; absent where the app needs no account.
    #[schema(value_type = Option<String>)]
    connection_id: Option<ConnectionId>,
    /// At least one.
    #[schema(value_type = Vec<String>, example = json!(["action.sandbox.echo"]))]
    allowed_components: Vec<ComponentId>,
}

impl GrantBody {
    pub(super) fn message(self, app: &AppKey) -> common::Grant {
        grant(app, self.connection_id, &self.allowed_components)
    }
}

fn grant(
    app: &AppKey,
    connection: Option<ConnectionId>,
    components: &[ComponentId],
) -> common::Grant {
    common::Grant {
        app_key: app.to_string(),
        connection_id: convert::text(connection),
        integration_id: String::new(),
        allowed_components: components.iter().map(ComponentId::to_string).collect(),
    }
}

/// A key to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::rest) struct CreateKey {
    /// 1 to 200 characters.
    name: String,
    /// Up to 1000 characters.
    #[serde(default)]
    description: String,
    /// `prod`, `stg` or `dev`.
    #[schema(value_type = String, example = "dev")]
    pub(super) environment: Environment,
    /// In the future; absent is never.
    #[serde(default, with = "time::serde::rfc3339::option")]
    expires_at: Option<OffsetDateTime>,
    /// CIDR blocks or addresses it may be used from, at most 100; empty is anywhere.
    #[serde(default)]
    ip_allow_list: Vec<String>,
    /// At least one, one an app.
    connections: Vec<AppGrant>,
}

impl CreateKey {
    pub(super) fn message(self, operation: OperationId) -> CreateKeyRequest {
        let grants = self.connections.iter();
        let grants = grants.map(|g| grant(&g.app_key, g.connection_id, &g.allowed_components));
        CreateKeyRequest {
            grants: grants.collect(),
            name: self.name,
            description: self.description,
            environment: convert::environment(self.environment).into(),
            expires_at: self.expires_at.map(convert::timestamp),
            ip_allow_list: self.ip_allow_list,
            // Nothing enforces limits yet, so nobody can set them.
            limits: None,
            operation_id: operation.to_string(),
        }
    }
}

/// A new expiry; `None` is never.
#[derive(Debug, Default, Deserialize)]
struct NewExpiry(#[serde(with = "time::serde::rfc3339::option")] Option<OffsetDateTime>);

/// What to change. Absent members stay; null takes expiry or IP list away.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::rest) struct UpdateKey {
    /// 1 to 200 characters.
    #[serde(default, deserialize_with = "present")]
    name: Option<String>,
    /// Up to 1000 characters.
    #[serde(default, deserialize_with = "present")]
    description: Option<String>,
    /// In the future; null is never.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<NewExpiry>,
    /// CIDR blocks or addresses, at most 100; null or empty is anywhere.
    #[serde(default, deserialize_with = "nullable")]
    ip_allow_list: Option<Vec<String>>,
}

impl UpdateKey {
    pub(super) fn message(self, key: KeyId, operation: OperationId) -> UpdateKeyRequest {
        UpdateKeyRequest {
            key_id: key.to_string(),
            name: self.name,
            description: self.description,
            expiry: self.expires_at.map(|at| Expiry { at: at.0.map(convert::timestamp) }),
            ip_allow_list: self.ip_allow_list.map(|networks| IpAllowList { networks }),
            // Nothing enforces limits yet, so nobody can set them.
            limits: None,
            operation_id: operation.to_string(),
        }
    }
}

/// How long both secrets work.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::rest) struct RotateKey {
    /// When the old secret stops; in the future, at most 90 days ahead.
    #[serde(with = "time::serde::rfc3339")]
    pub(super) overlap_ends_at: OffsetDateTime,
}
