//! Passwords: made for a first owner, hashed for everyone.

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, phc::PasswordHash},
};
use keystile_domain::{Entropy, base62, entropy};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

/// The OWASP Password Storage Cheat Sheet's first choice for Argon2id: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Hashing failed, which only a change of the parameters above can cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the password could not be hashed")]
pub struct HashError;

/// A new password: 22 base62 characters that carry 128 random bits.
pub(crate) fn generate(entropy: &dyn Entropy) -> SecretString {
    let random = Zeroizing::new(entropy::bytes::<16>(entropy));
    let text = Zeroizing::new(base62::encode::<16, 22>(&random));
    text.iter().copied().map(char::from).collect::<String>().into()
}

/// The Argon2id PHC string of `password` under a fresh salt. Takes some 15 ms of CPU, off the
/// async threads.
pub(crate) async fn hash(
    password: SecretString,
    entropy: &dyn Entropy,
) -> Result<String, HashError> {
    let salt = entropy::bytes::<16>(entropy);
    tokio::task::spawn_blocking(move || {
        let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|_| HashError)?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let hash: PasswordHash = argon2
            .hash_password_with_salt(password.expose_secret().as_bytes(), &salt)
            .map_err(|_| HashError)?;
        Ok(hash.to_string())
    })
    .await
    .map_err(|_| HashError)?
}

#[cfg(test)]
mod tests {
    use argon2::PasswordVerifier;
    use keystile_testkit::SeededEntropy;

    use super::*;

    #[tokio::test]
    async fn a_hash_names_owasps_cost_and_verifies_its_own_password_only() {
        let entropy = SeededEntropy::new(1);
        let password = generate(&entropy);
        let stored = hash(password.clone(), &entropy).await.expect("hashes");
        assert!(stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{stored}");
        let parsed = PasswordHash::new(&stored).expect("a PHC string");
        let verify = |text: &[u8]| Argon2::default().verify_password(text, &parsed).is_ok();
        assert!(verify(password.expose_secret().as_bytes()));
        assert!(!verify(b"something else"));
    }

    #[tokio::test]
    async fn the_same_password_is_hashed_under_another_salt_each_time() {
        let entropy = SeededEntropy::new(2);
        let password = generate(&entropy);
        let first = hash(password.clone(), &entropy).await.expect("hashes");
        assert_ne!(first, hash(password, &entropy).await.expect("hashes"));
    }
}
