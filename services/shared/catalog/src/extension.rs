//! What OpenAPI has no words for: the `x-keystile-*` extensions of a document.
//!
//! All of them stand at the top of the document, except `x-keystile-event` and `x-keystile-oauth`,
//! and all are optional.
//!
//! Besides, a key of `paths` may end in a fragment, which is never sent: `/graphql#createIssue` and
//! `/graphql#listTeams` are two operations on one path.
//!
//! ```yaml
//! # A picture of the app: a `data:image/…` URI or the text of an SVG.
//! x-keystile-icon: data:image/svg+xml;base64,…
//!
//! # How much the provider takes from one connection: requests at once (1 to 100), and so many
//! # requests in any such time (up to 1,000,000 in up to 86,400 seconds). Each may stand alone.
//! x-keystile-limits: { concurrency: 10, requests: 100, per: 60 }
//!
//! # How the provider signs the webhooks that it sends.
//! x-keystile-signature:
//!   algorithm: hmac-sha256            # or hmac-sha1, hmac-sha512
//!   header: X-Hub-Signature-256       # the header that carries the signature
//!   format: sha256={signature}        # how it stands there; {signature} alone if left out.
//!                                     # Pairs with a comma between (t={timestamp},v1={signature})
//!                                     # are found by name; of several signatures one must match
//!   encoding: hex                     # or base64
//!   content: "{body}"                 # what is signed: text with {body}, {timestamp}, {id}
//!   secret: text                      # or base64: how the shared secret is written
//!   timestamp: { header: X-Time }     # where {timestamp} is, unless the format holds it
//!   tolerance: 300                    # seconds that a timestamp may differ from now
//!
//! # What else a webhook says about itself. Each is { header: Name } or { pointer: /into/the/body }.
//! x-keystile-delivery:
//!   id: { header: X-GitHub-Delivery } # the same on every attempt: repeats are dropped by it
//!   event: { header: X-GitHub-Event } # which webhook this is: compared with x-keystile-event
//!   account: { pointer: /team_id }    # whose event it is, where many accounts share one URL
//!   challenge: /challenge             # a body with this text is answered with the text itself
//!
//! webhooks:
//!   issues:
//!     post:
//!       x-keystile-event: issues      # the webhook's name, if left out
//!
//! # Triggers for what the provider does not push.
//! x-keystile-poll:
//!   newMessage:
//!     summary: New message
//!     description: …
//!     operation: listMessages         # an operationId of this document
//!     with: { maxResults: 50 }        # inputs that are always the same; the rest are the trigger's
//!     interval: 60                    # seconds, 30 to 86,400
//!     items: /messages                # the list, in the operation's output
//!     id: /id                         # what tells one item from another, in the item
//!     cursor:                         # optional
//!       kind: page                    # page: more of the same answer; resume: where to go on next time
//!       output: /nextPageToken        # where the operation gives it
//!       input: pageToken              # the input that takes it
//!     externalDocs: { url: … }
//!
//! components:
//!   securitySchemes:
//!     oauth:                          # of the type oauth2 or openIdConnect
//!       # How the provider speaks OAuth, where it has a choice or keeps to rules of its own.
//!       x-keystile-oauth:
//!         issuer: https://acme.example      # whose metadata (RFC 8414, OpenID Connect
//!                                           # Discovery) tells what the document leaves out
//!         revocationUrl: https://…          # RFC 7009
//!         authorize: { prompt: consent }    # what every authorization request also carries;
//!                                           # nothing that the protocol itself sets
//!         scopeSeparator: ","               # between the scopes asked for; " " if left out
//!         clientAuthentication: post        # or basic: at the token endpoint; if left out, as
//!                                           # the metadata says, else basic
//!         pkce: false                       # the provider takes no code challenge; true if
//!                                           # left out
//! ```

mod connection;
mod delivery;
mod oauth;
mod poll;
mod signature;

use serde::{Deserialize, Deserializer, de::DeserializeOwned};

pub use self::{
    connection::{ConnectionLimits, Rate},
    delivery::Delivery,
    oauth::{ClientAuthentication, Dialect, Issuer, ScopeSeparator},
    poll::{Cursor, CursorKind, Poll},
    signature::{Algorithm, Format, Piece, SecretForm, Signature, SignatureEncoding},
};
pub(crate) use self::{oauth::reserved, poll::Declared as DeclaredPoll};
use crate::{
    limits,
    reference::Node,
    report::{Line, Report},
};

/// The extensions that stand at the top of a document.
pub(crate) const TOP: [&str; 5] = [
    "x-keystile-icon",
    "x-keystile-limits",
    "x-keystile-signature",
    "x-keystile-delivery",
    "x-keystile-poll",
];

/// The extension that stands in a security scheme.
pub(crate) const OAUTH: &str = "x-keystile-oauth";

/// A place in a webhook's request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// A header, by name.
    Header(HeaderText),
    /// A value of the JSON body.
    Pointer(Pointer),
}

/// The name of a header, as the document writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderText(http::HeaderName);

impl HeaderText {
    /// The name.
    pub const fn name(&self) -> &http::HeaderName {
        &self.0
    }
}

impl<'de> Deserialize<'de> for HeaderText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map(Self).map_err(|_| serde::de::Error::custom("not the name of a header"))
    }
}

/// A JSON pointer (RFC 6901).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer(String);

impl Pointer {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Pointer {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        if text.is_empty() || text.starts_with('/') {
            Ok(Self(text))
        } else {
            Err(serde::de::Error::custom("a JSON pointer starts with a slash"))
        }
    }
}

/// Reads a typed extension.
pub(crate) fn read<T: DeserializeOwned>(node: &Node<'_>) -> Result<T, Line> {
    T::deserialize(node.value).map_err(|error| node.line(error.to_string()))
}

/// The extension of this name at the top of the document, if it is there and well formed.
pub(crate) fn top<T: DeserializeOwned>(
    root: &Node<'_>,
    name: &str,
    report: &mut Report,
) -> Option<T> {
    root.child(name).and_then(|node| report.keep(read(&node)))
}

/// `x-keystile-icon`.
pub(crate) fn icon(root: &Node<'_>, report: &mut Report) -> Option<String> {
    let node = root.child("x-keystile-icon")?;
    let text = node.value.as_str().map(str::trim).unwrap_or_default();
    let picture = text.starts_with("data:image/") || text.starts_with("<svg");
    if picture && text.len() <= limits::ICON_BYTES {
        return Some(text.to_owned());
    }
    report.add(node.line(format!(
        "an icon is a data:image/ URI or an SVG of at most {} bytes",
        limits::ICON_BYTES
    )));
    None
}
