//! `Debug` of messages that carry secrets. The list is `SECRET_MESSAGES` in `build.rs`.

use std::fmt;

use crate::proto::{common, issuance, vault, verification};

macro_rules! redacted {
    ($($message:ty),* $(,)?) => {$(
        impl fmt::Debug for $message {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($message), " [redacted]"))
            }
        }
    )*};
}

redacted!(
    common::v1::Sealed,
    issuance::v1::CreateKeyResponse,
    issuance::v1::RegenerateKeyResponse,
    issuance::v1::RotateKeyResponse,
    issuance::v1::SecretFacts,
    verification::v1::VerifyRequest,
    vault::v1::StaticCredential,
    vault::v1::static_credential::Kind,
    vault::v1::BasicCredential,
    vault::v1::FieldsCredential,
    vault::v1::CreateIntegrationRequest,
    vault::v1::UpdateIntegrationRequest,
    vault::v1::StartConnectResponse,
    vault::v1::OpenConnectRequest,
    vault::v1::OpenConnectResponse,
    vault::v1::BeginConnectRequest,
    vault::v1::BeginConnectResponse,
    vault::v1::CompleteConnectRequest,
    vault::v1::RunActionRequest,
    vault::v1::RunActionResponse,
);

#[cfg(test)]
mod tests {
    use super::*;

    const CANARY: &str = "canary-4f1c";

    #[test]
    fn no_message_shows_its_secret() {
        let text = || CANARY.to_owned();
        let bytes = || CANARY.as_bytes().to_vec();
        let kind = || vault::v1::static_credential::Kind::BearerToken(text());
        let shown = [
            format!(
                "{:?}",
                common::v1::Sealed { payload: bytes(), mac: bytes(), ..Default::default() }
            ),
            format!(
                "{:?}",
                issuance::v1::CreateKeyResponse { token: text(), ..Default::default() }
            ),
            format!(
                "{:?}",
                issuance::v1::RegenerateKeyResponse { token: text(), ..Default::default() }
            ),
            format!(
                "{:?}",
                issuance::v1::RotateKeyResponse { token: text(), ..Default::default() }
            ),
            format!("{:?}", issuance::v1::SecretFacts { phc: text(), ..Default::default() }),
            format!(
                "{:?}",
                verification::v1::VerifyRequest { token: text(), ..Default::default() }
            ),
            format!("{:?}", vault::v1::StaticCredential { kind: Some(kind()) }),
            format!("{:?}", kind()),
            format!("{:?}", vault::v1::BasicCredential { username: text(), password: text() }),
            format!(
                "{:?}",
                vault::v1::FieldsCredential { values: [(text(), text())].into_iter().collect() }
            ),
            format!(
                "{:?}",
                vault::v1::CreateIntegrationRequest { client_secret: text(), ..Default::default() }
            ),
            format!(
                "{:?}",
                vault::v1::UpdateIntegrationRequest {
                    client_secret: Some(text()),
                    ..Default::default()
                }
            ),
            format!("{:?}", vault::v1::StartConnectResponse { url: text(), ..Default::default() }),
            format!("{:?}", vault::v1::OpenConnectRequest { ticket: text(), ..Default::default() }),
            format!(
                "{:?}",
                vault::v1::OpenConnectResponse { cookie: text(), ..Default::default() }
            ),
            format!(
                "{:?}",
                vault::v1::BeginConnectRequest { cookie: text(), ..Default::default() }
            ),
            format!("{:?}", vault::v1::BeginConnectResponse { authorization_url: text() }),
            format!(
                "{:?}",
                vault::v1::CompleteConnectRequest { code: text(), ..Default::default() }
            ),
            format!(
                "{:?}",
                vault::v1::RunActionRequest { inputs_json: bytes(), ..Default::default() }
            ),
            format!(
                "{:?}",
                vault::v1::RunActionResponse { outputs_json: bytes(), ..Default::default() }
            ),
        ];
        let listed = format!("{:?}", CANARY.as_bytes());
        for text in shown {
            assert!(text.ends_with("[redacted]"), "{text}");
            assert!(!text.contains(CANARY) && !text.contains(&listed[1..20]), "{text}");
        }
    }
}
