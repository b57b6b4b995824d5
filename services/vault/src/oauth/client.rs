//! What is sealed of an integration: the client, and where its secret may go.

use keystile_domain::AppKey;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::endpoints::Endpoints;
use crate::texts::{self, Malformed, Texts};

const KIND: u8 = 1;

/// A client and the endpoints that a check found. Whoever can write the database can therefore not
/// have the secret, or a refresh token, sent elsewhere.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) app: AppKey,
    pub(crate) id: String,
    /// None: a public client.
    pub(crate) secret: Option<SecretString>,
    /// None before the first check.
    pub(crate) endpoints: Option<Endpoints>,
}

impl Client {
    /// The bytes to seal: app ‖ client id ‖ secret, or "" ‖ the endpoints' texts, if there are any.
    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let secret = self.secret.as_ref().map(ExposeSecret::expose_secret).unwrap_or_default();
        let endpoints = self.endpoints.as_ref().map(Endpoints::texts);
        let mut parts = vec![self.app.as_str(), &self.id, secret];
        parts.extend(endpoints.iter().flatten().map(String::as_str));
        texts::encode(KIND, &parts)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let (KIND, mut texts) = Texts::read(bytes)? else { return Err(Malformed) };
        let client = Self {
            app: texts.take()?.parse().map_err(|_| Malformed)?,
            id: texts.take()?.to_owned(),
            secret: Some(texts.take()?).filter(|text| !text.is_empty()).map(Into::into),
            endpoints: (!texts.is_empty()).then(|| Endpoints::read(&mut texts)).transpose()?,
        };
        if texts.is_empty() { Ok(client) } else { Err(Malformed) }
    }
}

#[cfg(test)]
mod tests {
    use keystile_catalog::extension::ClientAuthentication;

    use super::*;

    #[test]
    fn a_client_comes_back_and_no_prefix_of_it_does() {
        let url = |text: &str| text.parse().expect("a URL");
        let endpoints = Endpoints {
            authorization: Some(url("https://a.example/authorize?x=1")),
            token: url("https://a.example/token"),
            refresh: None,
            issuer: Some("https://a.example".to_owned()),
            sends_iss: true,
            authentication: ClientAuthentication::Post,
        };
        let client = Client {
            app: "sandbox".parse().expect("an app"),
            id: "client".to_owned(),
            secret: Some("s3cret".into()),
            endpoints: Some(endpoints.clone()),
        };
        let encoded = client.encode();
        let back = Client::decode(&encoded).expect("its own encoding");
        assert_eq!(back.encode(), encoded);
        assert_eq!(back.endpoints, Some(endpoints));
        // Without its endpoints it is whole: one that was never checked.
        let whole = Client { endpoints: None, ..client }.encode().len();
        for length in (0..encoded.len()).filter(|length| *length != whole) {
            assert!(Client::decode(&encoded[..length]).is_err(), "{length}");
        }
    }
}
