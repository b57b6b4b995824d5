//! What requests about connections carry.

use std::{collections::HashMap, fmt};

use keystile_contract::proto::vault::v1::{
    BasicCredential, CreateConnectionRequest, FieldsCredential, StaticCredential,
    static_credential::Kind,
};
use keystile_domain::{AppKey, IntegrationId};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::rest::page::PageSize;

/// A page of connections.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::rest) struct ListConnections {
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

/// What the outside app knows the account by. Exactly one.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::rest) enum Credential {
    /// For schemes of type http, bearer.
    BearerToken(String),
    /// For schemes of type apiKey.
    ApiKey(String),
    /// For schemes of type http, basic.
    Basic(Basic),
    /// For several schemes of type apiKey that are wanted together: each by its `label` in
    /// `GET /apps/{appKey}`.
    Fields(HashMap<String, String>),
    /// `int_…` of grant `client_credentials`, configured: the client is the account. Accounts that
    /// a person consents for begin at `POST /integrations/{id}/connect`.
    #[schema(value_type = String)]
    IntegrationId(IntegrationId),
}

/// User and password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::rest) struct Basic {
    username: String,
    password: String,
}

impl Credential {
    fn message(self) -> StaticCredential {
        let kind = match self {
            Self::BearerToken(token) => Kind::BearerToken(token),
            Self::ApiKey(key) => Kind::ApiKey(key),
            Self::Basic(Basic { username, password }) => {
                Kind::Basic(BasicCredential { username, password })
            }
            Self::Fields(values) => Kind::Fields(FieldsCredential { values }),
            Self::IntegrationId(id) => Kind::IntegrationId(id.to_string()),
        };
        StaticCredential { kind: Some(kind) }
    }
}

/// An account to link.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::rest) struct CreateConnection {
    #[schema(value_type = String, example = "sandbox")]
    app_key: AppKey,
    /// 1 to 200 characters.
    name: String,
    credential: Credential,
    /// Values for the variables of the app's address.
    #[serde(default)]
    server_variables: HashMap<String, String>,
}

impl CreateConnection {
    pub(super) fn message(self) -> CreateConnectionRequest {
        CreateConnectionRequest {
            app_key: self.app_key.to_string(),
            name: self.name,
            credential: Some(self.credential.message()),
            server_variables: self.server_variables,
        }
    }
}

impl fmt::Debug for CreateConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateConnection").field("app", &self.app_key).finish_non_exhaustive()
    }
}
