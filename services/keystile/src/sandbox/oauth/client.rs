//! The programs that ask for access.

use std::collections::HashMap;

use anyhow::ensure;
use keystile_domain::{Entropy, name::Name};
use secrecy::{ExposeSecret as _, SecretString};
use url::{Host, Url};

use super::{
    super::{bearer::is_account, bounded::Bounded},
    secret::{self, Digest},
};

/// Clients that registered themselves and are remembered.
pub const MAX_CLIENTS: usize = 100;
/// Redirect URIs of one client.
const MAX_REDIRECT_URIS: usize = 8;
const MAX_URI: usize = 2_000;

/// A client that the caller of [`super::Server::add_client`] made.
#[derive(Debug, Clone)]
pub struct Client {
    /// Also the name of its own account, that of the client credentials grant.
    pub id: String,
    /// At least 128 random bits.
    pub secret: SecretString,
    /// What the consent page calls it.
    pub name: Name,
    /// Where codes may go, each compared as text: `https`, or `http` on this machine.
    pub redirect_uris: Vec<String>,
}

/// A redirect URI as it was registered, RFC 9700 §2.1: no other text matches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RedirectUri {
    text: String,
    url: Url,
}

impl RedirectUri {
    /// `None` for what cannot be one: RFC 6749 §3.1.2, RFC 8252 §7.3.
    fn parse(text: &str) -> Option<Self> {
        let plain = text.len() <= MAX_URI && text.bytes().all(|byte| byte.is_ascii_graphic());
        let url = Url::parse(text).ok().filter(|_| plain)?;
        let here = match url.host()? {
            Host::Domain(name) => name == "localhost" || name.ends_with(".localhost"),
            Host::Ipv4(address) => address.is_loopback(),
            Host::Ipv6(address) => address.is_loopback(),
        };
        let safe = url.scheme() == "https" || (url.scheme() == "http" && here);
        let bare =
            url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
        (safe && bare).then(|| Self { text: text.to_owned(), url })
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Scheme, host and port, for people.
    pub(super) fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    /// The address with these parameters after those that it has.
    pub(super) fn with<'a>(&self, parameters: impl Iterator<Item = (&'a str, &'a str)>) -> Url {
        let mut url = self.url.clone();
        url.query_pairs_mut().extend_pairs(parameters);
        url
    }
}

/// Reads what a client wants to be sent back to; `None` if one of them is refused, or their number.
fn redirect_uris(texts: &[String]) -> Option<Vec<RedirectUri>> {
    let few = (1..=MAX_REDIRECT_URIS).contains(&texts.len());
    few.then(|| texts.iter().map(|text| RedirectUri::parse(text)).collect())?
}

#[derive(Debug, Clone)]
struct Registered {
    secret: Digest,
    name: Name,
    redirect_uris: Vec<RedirectUri>,
}

/// What a client got at its registration.
pub(super) struct Credentials {
    pub(super) id: String,
    pub(super) secret: String,
}

/// The clients that there are.
#[derive(Debug)]
pub(in crate::sandbox) struct Clients {
    added: HashMap<String, Registered>,
    registered: Bounded<String, Registered>,
}

impl Default for Clients {
    fn default() -> Self {
        Self { added: HashMap::new(), registered: Bounded::new(MAX_CLIENTS) }
    }
}

impl Clients {
    pub(in crate::sandbox) fn add(&mut self, client: Client) -> anyhow::Result<()> {
        ensure!(is_account(&client.id), "the id of a client is 1 to 32 letters, digits, hyphens");
        let Some(redirect_uris) = redirect_uris(&client.redirect_uris) else {
            anyhow::bail!("{REDIRECT_URIS}");
        };
        let secret = Digest::of(client.secret.expose_secret());
        self.added.insert(client.id, Registered { secret, name: client.name, redirect_uris });
        Ok(())
    }

    /// Registers a client of this name; `None` if a redirect URI is refused, or their number.
    pub(super) fn register(
        &mut self,
        name: Name,
        texts: &[String],
        entropy: &dyn Entropy,
    ) -> Option<Credentials> {
        let redirect_uris = redirect_uris(texts)?;
        let id = format!("client-{}", secret::half(entropy));
        let secret = secret::whole("scs_", entropy);
        let registered = Registered { secret: Digest::of(&secret), name, redirect_uris };
        self.registered.insert(id.clone(), registered);
        Some(Credentials { id, secret })
    }

    /// Is there a client of this id with this secret?
    pub(super) fn know(&self, id: &str, secret: &str) -> bool {
        self.get(id).is_some_and(|client| client.secret.is_of(secret))
    }

    /// What a client is called.
    pub(super) fn name(&self, id: &str) -> Option<Name> {
        self.get(id).map(|client| client.name.clone())
    }

    /// This redirect URI, if the client registered it.
    pub(super) fn redirect_uri(&self, id: &str, text: &str) -> Option<RedirectUri> {
        self.get(id)?.redirect_uris.iter().find(|uri| uri.text == text).cloned()
    }

    fn get(&self, id: &str) -> Option<&Registered> {
        self.added.get(id).or_else(|| self.registered.get(id))
    }
}

/// What [`RedirectUri`] wants.
pub(super) const REDIRECT_URIS: &str = "redirect_uris must name 1 to 8 addresses of https, or of \
                                        http on a loopback host, without user and fragment";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_go_over_https_or_stay_on_this_machine() {
        let good = [
            "https://example.org/callback?a=b",
            "http://127.0.0.1:8080/connect/callback/int_1",
            "http://[::1]:8080/",
            "http://localhost",
            "http://keystile.localhost:8080/callback",
        ];
        for text in good {
            assert_eq!(RedirectUri::parse(text).expect(text).as_str(), text);
        }
        let long = format!("https://example.org/{}", "a".repeat(MAX_URI));
        let bad = [
            "",
            "/callback",
            "http://example.org/callback",
            "http://127.0.0.1.example.org/",
            "http://localhost.example.org/",
            "javascript:alert(1)",
            "data:text/html,a",
            "app://callback",
            "https://example.org/#a",
            "https://a@example.org/",
            "https://:b@example.org/",
            "https://example.org/a b",
            " https://example.org/",
            "https://example.org/\n",
            &long,
        ];
        for text in bad {
            assert_eq!(RedirectUri::parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_a_redirect_uri_asks_for_stays_in_it() {
        let uri = RedirectUri::parse("https://example.org/callback?a=b%20c").expect("one");
        let back = uri.with([("code", "1"), ("state", "x&y=z")].into_iter());
        assert_eq!(back.as_str(), "https://example.org/callback?a=b%20c&code=1&state=x%26y%3Dz");
    }
}
