//! Minting a secret: the one place that sees a token's text.

use argon2::{Algorithm, Argon2, Params, Version, password_hash::PasswordHasher};
use keystile_domain::{Environment, SecretId, entropy, token::Kid};
use secrecy::{ExposeSecret, SecretString};
use time::OffsetDateTime;

use crate::{Error, Service, store::SecretRecord};

/// Memory in KiB. Small on purpose: a token has 160 random bits and a tag, so nobody guesses it;
/// see design §4.
const MEMORY_KIB: u32 = 256;
const PASSES: u32 = 1;
const LANES: u32 = 1;

impl Service {
    /// Mints a token for a key, and what is stored of it: an Argon2id PHC string of the whole
    /// token. Done before the transaction, which must not wait for a hash.
    pub(super) async fn mint(
        &self,
        environment: Environment,
        kid: &Kid,
        now: OffsetDateTime,
    ) -> Result<(SecretString, SecretRecord), Error> {
        let minted = self.token_keys.mint(environment, kid, &*self.entropy);
        let salt: [u8; 16] = entropy::bytes(&*self.entropy);
        let text = minted.text.clone();
        let hashed = tokio::task::spawn_blocking(move || hash(&text, &salt)).await;
        let phc = hashed.map_err(|_| Error::Defect("the hashing task died"))??;
        let record = SecretRecord {
            id: SecretId::generate(now, &*self.entropy),
            phc,
            token_key_version: minted.token_key_version,
            not_after: None,
            created_at: now,
        };
        Ok((minted.text, record))
    }
}

fn hash(token: &SecretString, salt: &[u8; 16]) -> Result<String, Error> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None)
        .map_err(|_| Error::Defect("argon2 refused its parameters"))?;
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_with_salt(token.expose_secret().as_bytes(), salt)
        .map(|phc| phc.to_string())
        .map_err(|_| Error::Defect("argon2 failed"))
}

#[cfg(test)]
mod tests {
    use argon2::password_hash::{PasswordVerifier, phc::PasswordHash};

    use super::*;

    #[test]
    fn what_is_stored_names_its_cost_and_verifies_only_the_whole_token() {
        let phc = hash(&"ks_dev_abc_def".into(), &[7; 16]).expect("hashes");
        assert!(phc.starts_with("$argon2id$v=19$m=256,t=1,p=1$"), "{phc}");
        let parsed = PasswordHash::new(&phc).expect("a PHC string");
        assert!(Argon2::default().verify_password(b"ks_dev_abc_def", &parsed).is_ok());
        assert!(Argon2::default().verify_password(b"ks_dev_abc_de", &parsed).is_err());
    }
}
