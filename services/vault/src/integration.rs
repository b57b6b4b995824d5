//! A team's own OAuth client for an app.

pub(crate) mod check;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod read;
pub(crate) mod switch;
pub(crate) mod update;

use keystile_catalog::{App, AuthScheme};
use keystile_domain::{AppKey, IntegrationId, TeamId, name::Name};
use time::OffsetDateTime;

use crate::{error::Error, scope};

/// A client, as everyone but the call to the provider sees it: without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Integration {
    /// Its id.
    pub(crate) id: IntegrationId,
    /// Whose it is.
    pub(crate) team: TeamId,
    /// The app.
    pub(crate) app: AppKey,
    /// What people call it.
    pub(crate) name: Name,
    /// How accounts are connected.
    pub(crate) grant_type: GrantType,
    /// As the provider knows it.
    pub(crate) client_id: String,
    /// Is there a client secret?
    pub(crate) has_secret: bool,
    /// What is asked for when an account is connected, in the order of the alphabet.
    pub(crate) scopes: Vec<String>,
    /// Where programs may have the browser sent after a connection with a public key.
    pub(crate) return_urls: Vec<String>,
    /// Its state.
    pub(crate) status: Status,
    /// Why it is still a draft, if a check said so; empty otherwise.
    pub(crate) status_reason: String,
    /// When it was made.
    pub(crate) created_at: OffsetDateTime,
    /// Counts its changes, from 1; what is sealed for it is sealed for one of them.
    pub(crate) version: u64,
}

/// The state of an integration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    /// Not checked yet: no account can be connected through it.
    Draft,
    /// In use.
    Configured,
    /// Stopped by a person.
    Disabled,
}

impl Status {
    const ALL: [Self; 3] = [Self::Draft, Self::Configured, Self::Disabled];

    /// The text in databases and APIs.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Configured => "configured",
            Self::Disabled => "disabled",
        }
    }

    /// Reads the text form.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// How accounts are connected through an integration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GrantType {
    /// A person consents in a browser (RFC 6749 section 4.1).
    AuthorizationCode,
    /// The client is the account (RFC 6749 section 4.4).
    ClientCredentials,
}

impl GrantType {
    const ALL: [Self; 2] = [Self::AuthorizationCode, Self::ClientCredentials];

    /// The text in databases, and the parameter `grant_type`.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::ClientCredentials => "client_credentials",
        }
    }

    /// Reads the text form.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|grant| grant.as_str() == text)
    }

    /// Does the scheme offer it? One that describes itself says so only when it is asked.
    fn offered(self, scheme: &AuthScheme) -> bool {
        match scheme {
            AuthScheme::OAuth2(scheme) => match self {
                Self::AuthorizationCode => scheme.authorization_code.is_some(),
                Self::ClientCredentials => scheme.client_credentials.is_some(),
            },
            AuthScheme::OpenIdConnect(_) => true,
            AuthScheme::ApiKey { .. }
            | AuthScheme::Fields(_)
            | AuthScheme::Basic
            | AuthScheme::Bearer => false,
        }
    }

    /// The first of the app's schemes that offers it.
    pub(crate) fn scheme(self, app: &App) -> Option<&AuthScheme> {
        app.security.iter().find(|scheme| self.offered(scheme))
    }

    /// The one to take where nobody chose.
    fn default_of(app: &App) -> Option<Self> {
        Self::ALL.into_iter().find(|grant| grant.scheme(app).is_some())
    }
}

impl Integration {
    /// Can an account be connected through it?
    pub(crate) fn require_configured(&self) -> Result<(), Error> {
        match self.status {
            Status::Configured => Ok(()),
            status @ (Status::Draft | Status::Disabled) => {
                Err(Error::IntegrationNotConfigured(status.as_str()))
            }
        }
    }
}

/// The longest client id and secret, bytes.
const LONGEST_CLIENT: usize = 2 << 10;
/// Return URLs of one integration, and their length in bytes.
const MOST_RETURN_URLS: usize = 20;
const LONGEST_RETURN_URL: usize = 2_000;

/// RFC 6749 appendix A: client ids and secrets are visible ASCII and spaces.
fn client_text(field: &'static str, text: &str) -> Result<(), Error> {
    if text.is_empty() {
        return Err(Error::field(field, "must not be empty"));
    }
    if text.len() > LONGEST_CLIENT {
        return Err(Error::field(field, "must have at most 2048 bytes"));
    }
    if text.trim() != text || text.bytes().any(|byte| !(b' '..=b'~').contains(&byte)) {
        let problem = "must be visible ASCII without spaces around it";
        return Err(Error::field(field, problem));
    }
    Ok(())
}

/// The chosen scopes, or those that the app's components ask for.
fn chosen_scopes(app: &App, grant: GrantType, asked: Vec<String>) -> Result<Vec<String>, Error> {
    let wanted = || scope::wanted(app);
    if asked.is_empty() {
        return Ok(wanted());
    }
    let known: Option<Vec<&str>> = match grant.scheme(app) {
        Some(AuthScheme::OAuth2(scheme)) => {
            let scopes = match grant {
                GrantType::AuthorizationCode => {
                    scheme.authorization_code.as_ref().map(|code| &code.scopes)
                }
                GrantType::ClientCredentials => {
                    scheme.client_credentials.as_ref().map(|client| &client.scopes)
                }
            };
            scopes.map(|scopes| scopes.keys().map(String::as_str).collect())
        }
        // Its document names none, and its metadata need not name all.
        _ => None,
    };
    let mut chosen = std::collections::BTreeSet::new();
    for (at, scope) in asked.into_iter().enumerate() {
        let field = || format!("scopes[{at}]");
        if !scope::is_scope(&scope) {
            return Err(Error::field(field(), "is not a scope"));
        }
        if known.as_ref().is_some_and(|known| !known.contains(&scope.as_str())) {
            return Err(Error::field(field(), "is not a scope of the app's document"));
        }
        chosen.insert(scope);
    }
    Ok(chosen.into_iter().collect())
}

/// Return URLs as they will be compared: byte by byte.
fn checked_return_urls(urls: Vec<String>) -> Result<Vec<String>, Error> {
    if urls.len() > MOST_RETURN_URLS {
        return Err(Error::field("return_urls", "has more than 20 members"));
    }
    for (at, url) in urls.iter().enumerate() {
        let plain = url.len() <= LONGEST_RETURN_URL && url.bytes().all(|b| b.is_ascii_graphic());
        let fits = |url: &url::Url| {
            let web = matches!(url.scheme(), "https" | "http") && url.has_host();
            web && url.username().is_empty() && url.password().is_none() && url.fragment().is_none()
        };
        if !plain || !url::Url::parse(url).is_ok_and(|url| fits(&url)) {
            let problem = "must be an absolute web address without a user or a fragment";
            return Err(Error::field(format!("return_urls[{at}]"), problem));
        }
    }
    Ok(urls)
}
