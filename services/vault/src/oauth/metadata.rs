//! What an authorization server says of itself: RFC 8414, `OpenID` Connect Discovery 1.0.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header::ACCEPT};
use keystile_catalog::{AuthScheme, extension::ClientAuthentication};
use keystile_egress::{Client, Credential, Request};
use serde::{Deserialize, Deserializer, de::Error as _};
use url::Url;

use super::{Failure, LARGEST_ANSWER, TIMEOUT};

/// The part of the metadata that is used.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) issuer: String,
    #[serde(default, rename = "authorization_endpoint", deserialize_with = "address")]
    pub(crate) authorization: Option<Url>,
    #[serde(default, rename = "token_endpoint", deserialize_with = "address")]
    pub(crate) token: Option<Url>,
    #[serde(rename = "token_endpoint_auth_methods_supported")]
    methods: Option<Vec<String>>,
    #[serde(default, rename = "authorization_response_iss_parameter_supported")]
    pub(crate) sends_iss: bool,
}

impl Metadata {
    /// The first way of those it takes that is known here; it takes the header if it does not say
    /// (RFC 8414 section 2).
    pub(crate) fn authentication(&self) -> ClientAuthentication {
        let takes = |method| {
            self.methods.as_ref().is_some_and(|methods| methods.iter().any(|own| own == method))
        };
        if !takes("client_secret_basic") && takes("client_secret_post") {
            ClientAuthentication::Post
        } else {
            ClientAuthentication::Basic
        }
    }
}

fn address<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Url>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    let url = text.map(|text| Url::parse(&text)).transpose().map_err(D::Error::custom)?;
    match url {
        Some(url) if !matches!(url.scheme(), "https" | "http") => {
            Err(D::Error::custom("an endpoint is a web address"))
        }
        url => Ok(url),
    }
}

/// Where the scheme says that metadata is, and the issuer that it must be of; the second place is
/// asked if the first has none.
fn places(scheme: &AuthScheme) -> Option<(String, Vec<Url>)> {
    match scheme {
        AuthScheme::OAuth2(scheme) => {
            let issuer = scheme.dialect.issuer.as_ref()?.as_str();
            let url = Url::parse(issuer).ok()?;
            let path = url.path().trim_end_matches('/').to_owned();
            let at = |path: String| {
                let mut url = url.clone();
                url.set_path(&path);
                url
            };
            // RFC 8414 section 3.1 puts the suffix before the issuer's path, OpenID behind it.
            let inserted = at(format!("/.well-known/oauth-authorization-server{path}"));
            let appended = at(format!("{path}/.well-known/openid-configuration"));
            Some((issuer.to_owned(), vec![inserted, appended]))
        }
        AuthScheme::OpenIdConnect(scheme) => {
            let text = scheme.url.as_str();
            let issuer = text.split_once("/.well-known/openid-configuration")?.0;
            Some((issuer.to_owned(), vec![scheme.url.clone()]))
        }
        AuthScheme::ApiKey { .. }
        | AuthScheme::Fields(_)
        | AuthScheme::Basic
        | AuthScheme::Bearer => None,
    }
}

/// Asks the authorization server of a scheme for its metadata; `None` if the document names none.
///
/// # Errors
/// [`Failure`], also if the metadata is of another issuer (RFC 8414 section 3.3).
pub(crate) async fn fetch(
    egress: &Client,
    scheme: &AuthScheme,
) -> Result<Option<Metadata>, Failure> {
    let Some((issuer, places)) = places(scheme) else { return Ok(None) };
    let mut outcome = Failure::Invalid("it has no metadata");
    for url in places {
        match get(egress, url).await {
            Ok(metadata) if same_issuer(scheme, &metadata.issuer, &issuer) => {
                return Ok(Some(metadata));
            }
            Ok(_) => return Err(Failure::Invalid("its metadata is of another issuer")),
            Err(failure @ Failure::Refused(_)) => outcome = failure,
            Err(failure) => return Err(failure),
        }
    }
    Err(outcome)
}

/// A document that names the issuer itself is held to every byte of it. From the address of its
/// metadata, which has one slash fewer, it can only be read but for that.
fn same_issuer(scheme: &AuthScheme, told: &str, expected: &str) -> bool {
    match scheme {
        AuthScheme::OpenIdConnect(_) => {
            told.strip_suffix('/').unwrap_or(told) == expected.strip_suffix('/').unwrap_or(expected)
        }
        _ => told == expected,
    }
}

async fn get(egress: &Client, url: Url) -> Result<Metadata, Failure> {
    let accept = (ACCEPT, HeaderValue::from_static("application/json"));
    let request = Request {
        method: Method::GET,
        url,
        headers: HeaderMap::from_iter([accept]),
        body: Bytes::new(),
        timeout: TIMEOUT,
    };
    // Nothing is spent by asking: a lost answer is as good as none.
    let unavailable = |error: keystile_egress::Error| Failure::Unavailable(error.to_string());
    let answer = egress.send(request, &Credential::None).await.map_err(unavailable)?;
    match answer.status {
        StatusCode::OK => {}
        status if status.is_server_error() => {
            return Err(Failure::Unavailable(format!("it answered {}", status.as_u16())));
        }
        status => return Err(Failure::Refused(format!("http_{}", status.as_u16()))),
    }
    let body = answer.body.bytes_limited(LARGEST_ANSWER).await.map_err(unavailable)?;
    serde_json::from_slice(&body).map_err(|_| Failure::Invalid("its metadata does not read"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scheme(issuer: &str) -> AuthScheme {
        let document = format!(
            "openapi: 3.1.0\ninfo: {{ title: A, version: '1' }}\nservers: [{{ url: https://a.example }}]\n\
             security: [{{ auth: [] }}]\npaths: {{}}\ncomponents: {{ securitySchemes: {{ auth: {{ type: oauth2, \
             x-keystile-oauth: {{ issuer: '{issuer}' }}, flows: {{ clientCredentials: {{ tokenUrl: \
             https://a.example/token, scopes: {{}} }} }} }} }} }}\n"
        );
        let app = keystile_catalog::App::parse("a".parse().expect("a key"), &document);
        app.expect("a document").0.security.remove(0)
    }

    #[test]
    fn metadata_is_where_the_standards_put_it() {
        let (issuer, places) = places(&scheme("https://a.example/tenant/1")).expect("places");
        assert_eq!(issuer, "https://a.example/tenant/1");
        let places: Vec<&str> = places.iter().map(Url::as_str).collect();
        assert_eq!(
            places,
            [
                "https://a.example/.well-known/oauth-authorization-server/tenant/1",
                "https://a.example/tenant/1/.well-known/openid-configuration"
            ]
        );
    }

    #[test]
    fn metadata_that_names_an_endpoint_badly_does_not_read() {
        for bad in ["javascript:alert(1)", "no address", "ftp://a.example"] {
            let text = format!(r#"{{"issuer":"https://a.example","token_endpoint":"{bad}"}}"#);
            assert!(serde_json::from_str::<Metadata>(&text).is_err(), "{bad}");
        }
        let least: Metadata = serde_json::from_str(r#"{"issuer":"x"}"#).expect("reads");
        assert_eq!(least.authentication(), ClientAuthentication::Basic);
        let post =
            r#"{"issuer":"x","token_endpoint_auth_methods_supported":["client_secret_post"]}"#;
        let post: Metadata = serde_json::from_str(post).expect("reads");
        assert_eq!(post.authentication(), ClientAuthentication::Post);
    }
}
