//! Key-encryption keys in a PKCS #11 token
//! (<https://docs.oasis-open.org/pkcs11/pkcs11-base/v2.40/pkcs11-base-v2.40.html>).
//!
//! A version is an AES-256 key object with the label `<label>-<version>`, which may encrypt and
//! decrypt. A data key is wrapped with `CKM_AES_GCM`, in the format and with the additional data of
//! the ring in this process ([`Wrapped`]): a key that is imported into a token opens what it wrapped
//! in the ring. The nonce is random and from here. A token that chooses its own (as some in FIPS
//! mode do) writes it in the place of ours, and that is what is stored.

mod error;
mod token;

use std::{
    collections::BTreeSet,
    fmt,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use async_trait::async_trait;
use keystile_domain::{Entropy, TeamId, entropy};
use keystile_seal::{DataKeyId, Error as SealError, KeyBytes, KeyEncryption, Wrapped};
use secrecy::{ExposeSecret, ExposeSecretMut, SecretString};
use tokio::sync::Semaphore;

pub use self::error::Error;
use self::token::Token;

/// How many calls of the token are under way at once; each has a thread.
const CALLS: usize = 8;
/// How long a call may wait for its turn, and how long it may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the keys are.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The library of the token's maker.
    pub module: PathBuf,
    /// The token's label.
    pub token: String,
    /// The PIN of the token's user.
    pub pin: SecretString,
    /// What the keys' labels begin with; a dash and the version follow.
    pub label: String,
}

/// Key-encryption keys in a token.
pub struct Pkcs11 {
    token: Arc<Token>,
    versions: RwLock<BTreeSet<u32>>,
    calls: Arc<Semaphore>,
    entropy: Arc<dyn Entropy>,
}

impl Pkcs11 {
    /// Opens the token and looks for its keys.
    ///
    /// # Errors
    /// [`Error`] says what is missing. A PIN that is refused is not tried again.
    pub async fn open(settings: Settings, entropy: Arc<dyn Entropy>) -> Result<Self, Error> {
        let opened = tokio::task::spawn_blocking(move || {
            let token = Token::load(settings)?;
            let versions = token.versions()?;
            Ok::<_, Error>((token, versions))
        });
        let (token, versions) = tokio::time::timeout(PATIENCE, opened)
            .await
            .map_err(|_| Error::Silent)?
            .map_err(|_| Error::Silent)??;
        let calls = Arc::new(Semaphore::new(CALLS));
        Ok(Self { token: Arc::new(token), versions: RwLock::new(versions), calls, entropy })
    }

    /// Runs `work` on a thread that may block.
    async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Token) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, SealError> {
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.calls).acquire_owned());
        let turn = turn.await.map_err(|_| SealError::Unavailable("the token is busy"))?;
        let token = Arc::clone(&self.token);
        let called = tokio::task::spawn_blocking(move || {
            // Until the call ends, which may be after nobody waits for it any more.
            let _turn = turn;
            work(&token)
        });
        match tokio::time::timeout(PATIENCE, called).await {
            Ok(Ok(Ok(value))) => Ok(value),
            Ok(Ok(Err(Error::Refused))) => Err(SealError::Refused),
            Ok(Ok(Err(Error::Gone(version)))) => Err(SealError::UnknownVersion(version)),
            Ok(Ok(Err(error))) => {
                tracing::warn!(%error, "a call of the token failed");
                Err(SealError::Unavailable("the token does not do what it was asked"))
            }
            Ok(Err(_)) => Err(SealError::Unavailable("a call of the token did not end well")),
            Err(_) => Err(SealError::Unavailable("the token does not answer")),
        }
    }

    fn has(&self, version: u32) -> Result<(), SealError> {
        let versions = self.versions.read().unwrap_or_else(PoisonError::into_inner);
        if versions.contains(&version) { Ok(()) } else { Err(SealError::UnknownVersion(version)) }
    }
}

#[async_trait]
impl KeyEncryption for Pkcs11 {
    fn versions(&self) -> Vec<u32> {
        let versions = self.versions.read().unwrap_or_else(PoisonError::into_inner);
        versions.iter().copied().collect()
    }

    async fn wrap(
        &self,
        version: u32,
        team: TeamId,
        id: DataKeyId,
        key: &KeyBytes,
    ) -> Result<Wrapped, SealError> {
        self.has(version)?;
        let aad = Wrapped::aad(team, id, version)?;
        let nonce = entropy::bytes(&*self.entropy);
        let mut copy = KeyBytes::init_with_mut(|_| {});
        copy.expose_secret_mut().copy_from_slice(key.expose_secret());
        let encrypt =
            move |token: &Token| token.encrypt(version, nonce, &aad, copy.expose_secret());
        let (nonce, ciphertext) = self.call(encrypt).await?;
        Wrapped::from_parts(version, &nonce, &ciphertext)
    }

    async fn unwrap(
        &self,
        team: TeamId,
        id: DataKeyId,
        version: u32,
        wrapped: &[u8],
    ) -> Result<KeyBytes, SealError> {
        self.has(version)?;
        let aad = Wrapped::aad(team, id, version)?;
        let (nonce, ciphertext) = Wrapped::parts(wrapped)?;
        let (nonce, ciphertext) = (*nonce, ciphertext.to_vec());
        let decrypt = move |token: &Token| {
            let plain = token.decrypt(version, nonce, &aad, &ciphertext)?;
            let mut key = KeyBytes::init_with_mut(|_| {});
            if plain.len() != key.expose_secret().len() {
                return Err(Error::Refused);
            }
            key.expose_secret_mut().copy_from_slice(&plain);
            Ok(key)
        };
        self.call(decrypt).await
    }

    async fn refresh(&self) -> Result<(), SealError> {
        let versions = self.call(Token::versions).await?;
        *self.versions.write().unwrap_or_else(PoisonError::into_inner) = versions;
        Ok(())
    }

    /// No key was here. The sessions end with the process.
    fn forget(&self) {
        self.versions.write().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl fmt::Debug for Pkcs11 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pkcs11").field("versions", &self.versions()).finish_non_exhaustive()
    }
}
