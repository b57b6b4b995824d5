//! The calls of a token. They block.

use std::{
    collections::{BTreeSet, HashMap},
    path::PathBuf,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11 as Module},
    error::{Error as Cryptoki, RvError},
    mechanism::{Mechanism, aead::GcmParams},
    object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle},
    session::{Session, UserType},
    slot::Slot,
};
use zeroize::Zeroizing;

use super::{Error, Settings};

const TAG_BITS: u64 = 128;
const AES_256: u64 = 32;

pub(super) struct Token {
    module: Module,
    settings: Settings,
    /// Open, logged in, and used by nobody now.
    idle: Mutex<Vec<Open>>,
    /// A PIN that was refused once is never said again.
    refused: AtomicBool,
}

/// A session and the keys that it has found.
struct Open {
    session: Session,
    keys: HashMap<u32, ObjectHandle>,
}

impl Token {
    pub(super) fn load(settings: Settings) -> Result<Self, Error> {
        let failed = |_| Error::Module(PathBuf::clone(&settings.module));
        let module = Module::new(&settings.module).map_err(failed)?;
        initialize(&module).map_err(failed)?;
        Ok(Self { module, settings, idle: Mutex::default(), refused: AtomicBool::new(false) })
    }

    /// The versions that the token has.
    pub(super) fn versions(&self) -> Result<BTreeSet<u32>, Error> {
        let found = self.on_session(|open| {
            let mut found = Vec::new();
            for handle in open.session.find_objects(&template())? {
                let asked = [AttributeType::Label, AttributeType::ValueLen];
                let mut label = String::new();
                let mut length = None;
                for attribute in open.session.get_attributes(handle, &asked)? {
                    match attribute {
                        Attribute::Label(text) => {
                            label = String::from_utf8_lossy(&text).into_owned();
                        }
                        Attribute::ValueLen(value) => length = Some(*value),
                        _ => {}
                    }
                }
                found.push((label, length));
            }
            Ok(found)
        })?;
        let mut versions = BTreeSet::new();
        for (label, length) in found {
            let Some(version) = self.version(&label) else { continue };
            if length.is_some_and(|length| length != AES_256) {
                return Err(Error::NotAes256(label));
            }
            if !versions.insert(version) {
                return Err(Error::Twice(label));
            }
        }
        if versions.is_empty() {
            return Err(Error::NoKeys(self.settings.label.clone()));
        }
        Ok(versions)
    }

    /// The nonce that was used, which may be the token's own, and ciphertext with tag.
    pub(super) fn encrypt(
        &self,
        version: u32,
        nonce: [u8; 12],
        aad: &[u8],
        plaintext: &[u8],
    ) -> Result<([u8; 12], Vec<u8>), Error> {
        self.on_session(|open| {
            let key = self.key(open, version)?;
            let mut used = nonce;
            let gcm = Mechanism::AesGcm(GcmParams::new(&mut used, aad, TAG_BITS.into())?);
            let ciphertext = open.session.encrypt(&gcm, key, plaintext)?;
            Ok((used, ciphertext))
        })
    }

    pub(super) fn decrypt(
        &self,
        version: u32,
        nonce: [u8; 12],
        aad: &[u8],
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.on_session(|open| {
            let key = self.key(open, version)?;
            let mut nonce = nonce;
            let gcm = Mechanism::AesGcm(GcmParams::new(&mut nonce, aad, TAG_BITS.into())?);
            Ok(Zeroizing::new(open.session.decrypt(&gcm, key, ciphertext)?))
        })
    }

    fn version(&self, label: &str) -> Option<u32> {
        let digits = label.strip_prefix(&self.settings.label)?.strip_prefix('-')?;
        let version = digits.parse().ok().filter(|version| *version > 0)?;
        (digits == u32::to_string(&version)).then_some(version)
    }

    fn key(&self, open: &mut Open, version: u32) -> Result<ObjectHandle, Failure> {
        if let Some(key) = open.keys.get(&version) {
            return Ok(*key);
        }
        let label = format!("{}-{version}", self.settings.label);
        let mut template = template();
        template.push(Attribute::Label(label.into_bytes()));
        let key = *open.session.find_objects(&template)?.first().ok_or(Error::Gone(version))?;
        open.keys.insert(version, key);
        Ok(key)
    }

    /// Runs `work` on a session, and once more on a new one if that was lost. A session on which a
    /// call failed is closed: it may be in the middle of an operation.
    fn on_session<T>(&self, work: impl Fn(&mut Open) -> Result<T, Failure>) -> Result<T, Error> {
        let idle = self.idle().pop();
        if let Some(mut open) = idle {
            match work(&mut open) {
                Ok(value) => {
                    self.idle().push(open);
                    return Ok(value);
                }
                Err(Failure::Token(error)) if Error::is_lost_session(&error) => {
                    tracing::info!("the session with the token was lost; another is opened");
                    // The others are as old.
                    self.idle().clear();
                }
                Err(failure) => return Err(failure.into()),
            }
        }
        let mut open = self.open()?;
        let value = work(&mut open)?;
        self.idle().push(open);
        Ok(value)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Open>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> Result<Open, Error> {
        // Another user of the module in this process may have ended it.
        initialize(&self.module)?;
        let session = self.module.open_ro_session(self.slot()?)?;
        if self.refused.load(Ordering::Relaxed) {
            return Err(Error::Pin("refused before".to_owned()));
        }
        match session.login(UserType::User, Some(&self.settings.pin)) {
            // A login is of the process, not of the session.
            Ok(()) | Err(Cryptoki::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {
                Ok(Open { session, keys: HashMap::new() })
            }
            Err(error) => {
                let error = Error::from(error);
                let refused = matches!(error, Error::Pin(_));
                self.refused.fetch_or(refused, Ordering::Relaxed);
                Err(error)
            }
        }
    }

    fn slot(&self) -> Result<Slot, Error> {
        let mut found = None;
        for slot in self.module.get_slots_with_initialized_token()? {
            if self.module.get_token_info(slot)?.label() == self.settings.token
                && found.replace(slot).is_some()
            {
                return Err(Error::SeveralTokens(self.settings.token.clone()));
            }
        }
        found.ok_or_else(|| Error::NoToken(self.settings.token.clone()))
    }
}

fn initialize(module: &Module) -> Result<(), Cryptoki> {
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Err(Cryptoki::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(()),
        initialized => initialized,
    }
}

/// AES keys that stay in the token.
fn template() -> Vec<Attribute> {
    vec![
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::Token(true),
    ]
}

/// Why work on a session failed.
enum Failure {
    Token(Cryptoki),
    Other(Error),
}

impl From<Cryptoki> for Failure {
    fn from(error: Cryptoki) -> Self {
        Self::Token(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Token(error) => error.into(),
            Failure::Other(error) => error,
        }
    }
}
