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
