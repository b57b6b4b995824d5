//! What requests about integrations carry.

use std::{fmt, num::NonZeroU64};

use keystile_contract::proto::vault::v1::{
    self as proto, CreateIntegrationRequest, ReturnUrls, Scopes, UpdateIntegrationRequest,
};
use keystile_domain::{AppKey, IntegrationId};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use utoipa::{IntoParams, ToSchema};

use crate::rest::{
    member::{nullable, present},
    page::PageSize,
};

/// A page of integrations.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::rest) struct ListIntegrations {
    /// `nextCursor` of the page before; the filter must be the same.
    pub(super) cursor: Option<String>,
    /// 1 to 200.
    #[serde(default)]
    #[param(value_type = u32)]
    pub(super) page_size: PageSize,
    /// Only this app.
    #[param(value_type = Option<String>)]
    pub(super) app: Option<AppKey>,
}

/// How accounts are connected.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::rest) enum GrantType {
    /// A person consents in a browser (RFC 6749 section 4.1).
    AuthorizationCode,
    /// The client is the account (RFC 6749 section 4.4).
    ClientCredentials,
}

impl GrantType {
    const fn proto(self) -> proto::GrantType {
        match self {
            Self::AuthorizationCode => proto::GrantType::AuthorizationCode,
            Self::ClientCredentials => proto::GrantType::ClientCredentials,
        }
    }

    pub(super) const fn of(grant: proto::GrantType) -> Option<Self> {
        match grant {
            proto::GrantType::AuthorizationCode => Some(Self::AuthorizationCode),
            proto::GrantType::ClientCredentials => Some(Self::ClientCredentials),
            proto::GrantType::Unspecified => None,
        }
    }
}

/// A client secret. An empty text, as of a variable that was never set, is none.
struct ClientSecret(String);

impl<'de> Deserialize<'de> for ClientSecret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        if text.is_empty() {
            return Err(D::Error::custom("must not be empty; null is no secret"));
        }
        Ok(Self(text))
    }
}

/// A client to add.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::rest) struct CreateIntegration {
    #[schema(value_type = String, example = "sandbox")]
    app_key: AppKey,
    /// 1 to 200 characters.
    name: String,
    /// Absent: `authorization_code` where the app offers it, `client_credentials` otherwise.
    #[schema(inline)]
    grant_type: Option<GrantType>,
    /// As the provider shows it.
    client_id: String,
    /// As the provider shows it; absent for a public client, which has none.
    #[schema(value_type = Option<String>, write_only)]
    client_secret: Option<ClientSecret>,
    /// Scopes of the app's document; absent or empty: those that its components ask for.
    #[serde(default)]
    scopes: Vec<String>,
    /// Web addresses without a fragment, compared exactly; at most 20.
    #[serde(default)]
    return_urls: Vec<String>,
}

impl fmt::Debug for CreateIntegration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateIntegration").field("app", &self.app_key).finish_non_exhaustive()
    }
}

impl CreateIntegration {
    pub(super) fn message(self) -> CreateIntegrationRequest {
        let grant_type = self.grant_type.map_or(proto::GrantType::Unspecified, GrantType::proto);
        CreateIntegrationRequest {
            app_key: self.app_key.to_string(),
            name: self.name,
            grant_type: grant_type.into(),
            client_id: self.client_id,
            client_secret: self.client_secret.map(|secret| secret.0).unwrap_or_default(),
            scopes: self.scopes,
            return_urls: self.return_urls,
        }
    }
}

/// What to change. Absent members stay.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::rest) struct UpdateIntegration {
    /// The version that was seen: 409 `integration_changed` if another change came since. Absent:
    /// whatever it is.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<u64>, minimum = 1)]
    version: Option<NonZeroU64>,
    /// 1 to 200 characters.
    #[serde(default, deserialize_with = "present")]
    name: Option<String>,
    /// Another client has to be checked again.
    #[serde(default, deserialize_with = "present")]
    client_id: Option<String>,
    /// Another secret has to be checked again; null removes it.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, write_only)]
    #[expect(clippy::option_option, reason = "absent, null and a text are three things")]
    client_secret: Option<Option<ClientSecret>>,
    /// Replaces the scopes; null or empty: those that the app's components ask for.
    #[serde(default, deserialize_with = "nullable")]
    scopes: Option<Vec<String>>,
    /// Replaces the return URLs; null or empty is none.
    #[serde(default, deserialize_with = "nullable")]
    return_urls: Option<Vec<String>>,
}

impl fmt::Debug for UpdateIntegration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpdateIntegration").field("version", &self.version).finish_non_exhaustive()
    }
}

impl UpdateIntegration {
    pub(super) fn message(self, id: IntegrationId) -> UpdateIntegrationRequest {
        let secret = |secret: Option<ClientSecret>| secret.map_or_else(String::new, |own| own.0);
        UpdateIntegrationRequest {
            integration_id: id.to_string(),
            version: self.version.map_or(0, NonZeroU64::get),
            name: self.name,
            client_id: self.client_id,
            client_secret: self.client_secret.map(secret),
            scopes: self.scopes.map(|scopes| Scopes { scopes }),
            return_urls: self.return_urls.map(|urls| ReturnUrls { urls }),
        }
    }
}
