//! Where the provider of an integration answers, and how.

use keystile_catalog::{
    App, AuthScheme,
    extension::{ClientAuthentication, Dialect},
};
use url::Url;

use super::metadata::Metadata;
use crate::{
    integration::GrantType,
    texts::{Malformed, Texts},
};

/// The endpoints of an authorization server, from the app's document and the server's metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoints {
    /// Where a person consents; none for client credentials.
    pub(crate) authorization: Option<Url>,
    /// Where codes, and the client itself, become tokens.
    pub(crate) token: Url,
    /// Where tokens are refreshed, if elsewhere.
    pub(crate) refresh: Option<Url>,
    /// Who it says it is; compared with `iss` byte by byte.
    pub(crate) issuer: Option<String>,
    /// Does it promise to send `iss` (RFC 9207)?
    pub(crate) sends_iss: bool,
    /// How the client proves itself.
    pub(crate) authentication: ClientAuthentication,
}

/// The app's document and the provider's metadata do not tell enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the app's document and the provider's metadata name no {0} endpoint")]
pub(crate) struct Absent(&'static str);

impl Endpoints {
    /// The document decides; metadata fills in what it leaves out.
    pub(crate) fn resolve(
        app: &App,
        grant: GrantType,
        metadata: Option<&Metadata>,
    ) -> Result<Self, Absent> {
        let told = |endpoint: fn(&Metadata) -> Option<&Url>| metadata.and_then(endpoint).cloned();
        let (authorization, token, refresh) = match (grant.scheme(app), grant) {
            (Some(AuthScheme::OAuth2(scheme)), GrantType::AuthorizationCode) => {
                let code = scheme.authorization_code.as_ref().ok_or(Absent("authorization"))?;
                let authorization = Some(code.authorization_url.clone());
                (authorization, code.token_url.clone(), code.refresh_url.clone())
            }
            (Some(AuthScheme::OAuth2(scheme)), GrantType::ClientCredentials) => {
                let client = scheme.client_credentials.as_ref().ok_or(Absent("token"))?;
                (None, client.token_url.clone(), None)
            }
            (_, grant) => {
                let token = told(|all| all.token.as_ref()).ok_or(Absent("token"))?;
                let authorization = match grant {
                    GrantType::AuthorizationCode => {
                        let told = told(|all| all.authorization.as_ref());
                        Some(told.ok_or(Absent("authorization"))?)
                    }
                    GrantType::ClientCredentials => None,
                };
                (authorization, token, None)
            }
        };
        let dialect = dialect(app, grant);
        Ok(Self {
            authorization,
            token,
            refresh,
            issuer: metadata.map(|metadata| metadata.issuer.clone()),
            sends_iss: metadata.is_some_and(|metadata| metadata.sends_iss),
            authentication: dialect
                .and_then(|dialect| dialect.client_authentication)
                .or_else(|| metadata.map(Metadata::authentication))
                .unwrap_or(ClientAuthentication::Basic),
        })
    }

    /// Where a refresh token goes.
    pub(crate) fn for_refresh(&self) -> &Url {
        self.refresh.as_ref().unwrap_or(&self.token)
    }

    /// As texts, for what is sealed.
    pub(super) fn texts(&self) -> [String; 6] {
        let text = |url: &Option<Url>| url.as_ref().map(Url::to_string).unwrap_or_default();
        [
            text(&self.authorization),
            self.token.to_string(),
            text(&self.refresh),
            self.issuer.clone().unwrap_or_default(),
            if self.sends_iss { "iss" } else { "" }.to_owned(),
            match self.authentication {
                ClientAuthentication::Basic => "basic",
                ClientAuthentication::Post => "post",
            }
            .to_owned(),
        ]
    }

    /// Reads what [`Endpoints::texts`] gives.
    pub(super) fn read(texts: &mut Texts<'_>) -> Result<Self, Malformed> {
        let url = |text: &str| text.parse::<Url>().map_err(|_| Malformed);
        let optional = |text: &str| (!text.is_empty()).then(|| url(text)).transpose();
        Ok(Self {
            authorization: optional(texts.take()?)?,
            token: url(texts.take()?)?,
            refresh: optional(texts.take()?)?,
            issuer: Some(texts.take()?.to_owned()).filter(|text| !text.is_empty()),
            sends_iss: texts.take()? == "iss",
            authentication: match texts.take()? {
                "basic" => ClientAuthentication::Basic,
                "post" => ClientAuthentication::Post,
                _ => return Err(Malformed),
            },
        })
    }
}

/// How the provider speaks, as the app's document says.
pub(crate) fn dialect(app: &App, grant: GrantType) -> Option<&Dialect> {
    match grant.scheme(app)? {
        AuthScheme::OAuth2(scheme) => Some(&scheme.dialect),
        AuthScheme::OpenIdConnect(scheme) => Some(&scheme.dialect),
        AuthScheme::ApiKey { .. }
        | AuthScheme::Fields(_)
        | AuthScheme::Basic
        | AuthScheme::Bearer => None,
    }
}
