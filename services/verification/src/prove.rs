//! Argon2, off the async threads and a few at a time.

use std::sync::Arc;

use argon2::{
    Argon2,
    password_hash::{PasswordVerifier, phc::PasswordHash},
};
use keystile_domain::{SecretId, facts::KeyFacts};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;

use crate::{Error, Stats};

/// Tells which secret of a key a token is.
pub(crate) struct Prover {
    workers: Arc<Semaphore>,
    stats: Arc<Stats>,
}

impl Prover {
    pub(crate) fn new(workers: usize, stats: Arc<Stats>) -> Self {
        Self { workers: Arc::new(Semaphore::new(workers)), stats }
    }

    /// The secret that `token` is, of those minted under its token key version. A token of another
    /// version cannot be it, since the version is under the tag.
    pub(crate) async fn prove(
        &self,
        token: SecretString,
        token_key_version: u8,
        facts: &KeyFacts,
    ) -> Result<Option<SecretId>, Error> {
        let candidates: Vec<_> = facts
            .secrets
            .iter()
            .filter(|secret| secret.token_key_version == token_key_version)
            .map(|secret| (secret.id, secret.phc.clone()))
            .collect();
        if candidates.is_empty() {
            return Ok(None);
        }
        let permit = Arc::clone(&self.workers).acquire_owned().await;
        let permit = permit.map_err(|_| Error::Defect("the hashing pool is closed"))?;
        let stats = Arc::clone(&self.stats);
        let hashing = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            for (id, phc) in candidates {
                let hash =
                    PasswordHash::new(&phc).map_err(|_| Error::Defect("a phc is not one"))?;
                Stats::count(&stats.hashes);
                let text = token.expose_secret().as_bytes();
                if Argon2::default().verify_password(text, &hash).is_ok() {
                    return Ok(Some(id));
                }
            }
            Ok(None)
        });
        hashing.await.unwrap_or(Err(Error::Defect("the hashing task died")))
    }
}
