//! `x-keystile-signature`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error as _};

use super::{HeaderText, Part};

/// How a provider signs its webhooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// The keyed hash.
    pub algorithm: Algorithm,
    /// The header that carries the signature.
    pub header: HeaderText,
    /// How it stands there.
    pub format: Format,
    /// How its bytes are written.
    pub encoding: SignatureEncoding,
    /// What is signed, in order.
    pub content: Vec<Piece>,
    /// How the shared secret is written.
    pub secret: SecretForm,
    /// Where the timestamp is, unless the format holds it.
    pub timestamp: Option<Part>,
    /// How far a timestamp may be from now.
    pub tolerance: Option<Duration>,
}

/// The keyed hash (RFC 2104).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Algorithm {
    /// With SHA-1.
    #[serde(rename = "hmac-sha1")]
    HmacSha1,
    /// With SHA-256.
    #[serde(rename = "hmac-sha256")]
    HmacSha256,
    /// With SHA-512.
    #[serde(rename = "hmac-sha512")]
    HmacSha512,
}

/// How a signature stands in its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// Behind this text; several may stand with spaces between.
    After(String),
    /// Among `name=value` pairs with commas between; several may have the name.
    Pairs {
        /// The name of the signature.
        signature: String,
        /// The name of the timestamp.
        timestamp: Option<String>,
    },
}

/// How the bytes of a signature are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignatureEncoding {
    /// Lower or upper case.
    Hex,
    /// The standard alphabet, padded.
    Base64,
}

/// How the shared secret is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SecretForm {
    /// Its characters are the key.
    #[default]
    Text,
    /// The key is behind base64, and behind `whsec_` if that is there.
    Base64,
}

/// A piece of what is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// This text.
    Text(String),
    /// The body, byte by byte.
    Body,
    /// The timestamp as it was sent.
    Timestamp,
    /// The delivery's id.
    Id,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Declared {
    algorithm: Algorithm,
    header: HeaderText,
    #[serde(default = "bare")]
    format: String,
    encoding: SignatureEncoding,
    content: String,
    #[serde(default)]
    secret: SecretForm,
    timestamp: Option<Part>,
    tolerance: Option<u32>,
}

fn bare() -> String {
    "{signature}".to_owned()
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let declared = Declared::deserialize(from)?;
        let format = format(&declared.format).map_err(D::Error::custom)?;
        let content = content(&declared.content).map_err(D::Error::custom)?;
        let in_format = matches!(&format, Format::Pairs { timestamp: Some(_), .. });
        let stamped = in_format || declared.timestamp.is_some();
        if content.contains(&Piece::Timestamp) != stamped {
            return Err(D::Error::custom("a timestamp is signed exactly if it is sent"));
        }
        if stamped != declared.tolerance.is_some() {
            return Err(D::Error::custom("a tolerance goes with a timestamp"));
        }
        Ok(Self {
            algorithm: declared.algorithm,
            header: declared.header,
            format,
            encoding: declared.encoding,
            content,
            secret: declared.secret,
            timestamp: declared.timestamp,
            tolerance: declared.tolerance.map(|seconds| Duration::from_secs(seconds.into())),
        })
    }
}

fn format(text: &str) -> Result<Format, &'static str> {
    if !text.contains(',') || !text.contains('=') {
        let before = text.strip_suffix("{signature}").ok_or("a format ends in {signature}")?;
        return if before.contains(['{', '}', ' ']) {
            Err("a format holds {signature} once and no spaces")
        } else {
            Ok(Format::After(before.to_owned()))
        };
    }
    let (mut signature, mut timestamp) = (None, None);
    for pair in text.split(',') {
        match pair.split_once('=') {
            Some((name, "{signature}")) => signature = Some(name.to_owned()),
            Some((name, "{timestamp}")) => timestamp = Some(name.to_owned()),
            _ => return Err("a pair of a format is name={signature} or name={timestamp}"),
        }
    }
    Ok(Format::Pairs { signature: signature.ok_or("a format holds {signature}")?, timestamp })
}

fn content(template: &str) -> Result<Vec<Piece>, &'static str> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        if open > 0 {
            pieces.push(Piece::Text(rest[..open].to_owned()));
        }
        let (name, after) =
            rest[open + 1..].split_once('}').ok_or("the braces of content do not match")?;
        pieces.push(match name {
            "body" => Piece::Body,
            "timestamp" => Piece::Timestamp,
            "id" => Piece::Id,
            _ => return Err("content knows {body}, {timestamp} and {id}"),
        });
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    if pieces.contains(&Piece::Body) { Ok(pieces) } else { Err("content must hold {body}") }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(value: Value) -> Result<Signature, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    #[test]
    fn the_schemes_of_well_known_providers_can_be_written() {
        let github = read(json!({
            "algorithm": "hmac-sha256", "header": "X-Hub-Signature-256",
            "format": "sha256={signature}", "encoding": "hex", "content": "{body}",
        }))
        .expect("github");
        assert_eq!(github.format, Format::After("sha256=".to_owned()));
        assert_eq!(github.content, [Piece::Body]);

        let stripe = read(json!({
            "algorithm": "hmac-sha256", "header": "Stripe-Signature",
            "format": "t={timestamp},v1={signature}", "encoding": "hex",
            "content": "{timestamp}.{body}", "tolerance": 300,
        }))
        .expect("stripe");
        let pairs = Format::Pairs { signature: "v1".to_owned(), timestamp: Some("t".to_owned()) };
        assert_eq!(stripe.format, pairs);

        let standard = read(json!({
            "algorithm": "hmac-sha256", "header": "webhook-signature", "format": "v1,{signature}",
            "encoding": "base64", "content": "{id}.{timestamp}.{body}", "secret": "base64",
            "timestamp": { "header": "webhook-timestamp" }, "tolerance": 300,
        }))
        .expect("standard webhooks");
        assert_eq!(standard.format, Format::After("v1,".to_owned()));
        assert_eq!(standard.content.len(), 5);
    }

    #[test]
    fn a_scheme_that_checks_less_than_it_seems_is_refused() {
        let base = json!({
            "algorithm": "hmac-sha256", "header": "X-Sig", "encoding": "hex", "content": "{body}",
        });
        for (name, value, expected) in [
            ("content", json!("{timestamp}"), "content must hold {body}"),
            ("content", json!("{timestamp}.{body}"), "a timestamp is signed exactly if it is sent"),
            ("content", json!("{body}{nonce}"), "content knows"),
            ("timestamp", json!({ "header": "X-T" }), "a timestamp is signed exactly"),
            ("tolerance", json!(300), "a tolerance goes with a timestamp"),
            ("format", json!("sha256"), "a format ends in {signature}"),
            ("format", json!("t={timestamp},v1=x"), "a pair of a format"),
            ("algorithm", json!("hmac-md5"), "unknown variant"),
            ("header", json!("X Sig"), "not the name of a header"),
            ("algorithmus", json!(1), "unknown field"),
        ] {
            let mut scheme = base.clone();
            scheme[name] = value;
            let error = read(scheme).expect_err(name);
            assert!(error.contains(expected), "{name}: {error}");
        }
    }
}
