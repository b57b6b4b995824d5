//! What was granted: codes, what came of them, and access tokens. Every secret is here as its
//! digest only.

use std::{mem, sync::Arc, time::Duration};

use keystile_domain::{Clock, Entropy};
use time::OffsetDateTime;

use super::{
    super::bounded::Bounded,
    Answer,
    error::{Code as ErrorCode, Error},
    scope::Scopes,
    secret::{self, Digest, HALF},
};

const MAX_CODES: usize = 1_000;
const MAX_FAMILIES: usize = 10_000;
const MAX_ACCESS_TOKENS: usize = 10_000;

/// How long a code works; RFC 6749 §4.1.2 allows ten minutes at most.
const CODE_TTL: Duration = Duration::from_mins(1);

const ACCESS: &str = "sat_";
const REFRESH: &str = "srt_";

/// Who may do what in whose name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Consent {
    pub(super) client: String,
    pub(super) account: String,
    pub(super) scopes: Scopes,
}

/// What a code is bound to.
#[derive(Debug)]
pub(super) struct Binding {
    pub(super) consent: Consent,
    pub(super) redirect_uri: String,
    pub(super) challenge: String,
}

#[derive(Debug)]
struct Code {
    binding: Binding,
    state: CodeState,
}

#[derive(Debug)]
enum CodeState {
    Open { expires_at: OffsetDateTime },
    Spent { family: Option<Digest> },
}

/// The refresh tokens of one authorization, of which only the last works.
///
/// Each is the family's secret, then its own: what names a family but is not its last token was
/// spent, so nothing of the spent ones has to be remembered.
#[derive(Debug)]
struct Family {
    consent: Consent,
    last: Digest,
}

#[derive(Debug)]
struct Access {
    consent: Consent,
    family: Option<Digest>,
    expires_at: OffsetDateTime,
}

/// What the token endpoint hands out.
#[derive(Debug)]
pub(super) struct Tokens {
    pub(super) access: String,
    pub(super) refresh: Option<String>,
    pub(super) scopes: Scopes,
    pub(super) expires_in: Duration,
}

/// All of it.
pub(in crate::sandbox) struct Ledger {
    access_token_ttl: Duration,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    codes: Bounded<Digest, Code>,
    families: Bounded<Digest, Family>,
    access: Bounded<Digest, Access>,
}

impl Ledger {
    pub(in crate::sandbox) fn new(
        access_token_ttl: Duration,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self {
            access_token_ttl,
            clock,
            entropy,
            codes: Bounded::new(MAX_CODES),
            families: Bounded::new(MAX_FAMILIES),
            access: Bounded::new(MAX_ACCESS_TOKENS),
        }
    }

    /// The account that an access token opens, and for what.
    pub(in crate::sandbox) fn access(&self, token: &str) -> Option<(String, Scopes)> {
        let access = self.access.get(&Digest::of(token))?;
        let live = self.clock.now() < access.expires_at;
        live.then(|| (access.consent.account.clone(), access.consent.scopes))
    }

    /// Writes a code for what a person consented to.
    pub(super) fn code(&mut self, binding: Binding) -> String {
        let code = secret::whole("sac_", &*self.entropy);
        let state = CodeState::Open { expires_at: self.clock.now() + CODE_TTL };
        self.codes.insert(Digest::of(&code), Code { binding, state });
        code
    }

    /// Exchanges a code, RFC 6749 §4.1.3. It is spent by its client's first try, even a wrong one;
    /// any further ends what came of it.
    pub(super) fn redeem(
        &mut self,
        client: &str,
        code: &str,
        redirect_uri: &str,
        verifier: &str,
    ) -> Answer<Tokens> {
        let known = self
            .codes
            .get_mut(&Digest::of(code))
            .filter(|code| code.binding.consent.client == client);
        let code = known.ok_or(invalid_grant("the code is unknown"))?;
        let binding = &code.binding;
        let consent = binding.consent.clone();
        let fits = if binding.redirect_uri != redirect_uri {
            Err(invalid_grant("redirect_uri is not that of the authorization request"))
        } else if !secret::proves(verifier, &binding.challenge) {
            Err(invalid_grant("code_verifier does not fit code_challenge"))
        } else {
            Ok(())
        };
        match mem::replace(&mut code.state, CodeState::Spent { family: None }) {
            CodeState::Spent { family } => {
                if let Some(family) = family {
                    self.end(&family);
                }
                Err(invalid_grant("the code was used before; what came of it is revoked"))
            }
            CodeState::Open { expires_at } if self.clock.now() >= expires_at => {
                Err(invalid_grant("the code is expired"))
            }
            CodeState::Open { .. } => {
                fits?;
                let secret = secret::half(&*self.entropy);
                code.state = CodeState::Spent { family: Some(Digest::of(&secret)) };
                let scopes = consent.scopes;
                Ok(self.renew(&secret, consent, scopes))
            }
        }
    }

    /// Exchanges a refresh token, RFC 6749 §6, for tokens of all its scopes or of these.
    pub(super) fn refresh(
        &mut self,
        client: &str,
        token: &str,
        narrowed: Option<&str>,
    ) -> Answer<Tokens> {
        let unknown = invalid_grant("the refresh token is unknown or revoked");
        let secret = family_of(token).ok_or(unknown)?;
        let key = Digest::of(secret);
        let family = self.families.get(&key).filter(|family| family.consent.client == client);
        let family = family.ok_or(unknown)?;
        if !family.last.is_of(token) {
            self.end(&key);
            return Err(invalid_grant("the refresh token was used before; its family is revoked"));
        }
        let consent = family.consent.clone();
        let scopes = match narrowed {
            None => consent.scopes,
            Some(text) => Scopes::parse(text)
                .filter(|scopes| scopes.within(consent.scopes))
                .ok_or(Error::new(ErrorCode::InvalidScope, "scope exceeds what was granted"))?,
        };
        Ok(self.renew(secret, consent, scopes))
    }

    /// Tokens for a client's own account, RFC 6749 §4.4: without a refresh token.
    pub(super) fn own(&mut self, client: &str, scopes: Scopes) -> Tokens {
        let account = client.to_owned();
        let consent = Consent { client: client.to_owned(), account, scopes };
        self.tokens(consent, None, None)
    }

    /// The next refresh token of a family, which keeps its scopes, and an access token of these.
    fn renew(&mut self, family: &str, consent: Consent, scopes: Scopes) -> Tokens {
        let token = format!("{REFRESH}{family}{}", secret::half(&*self.entropy));
        let key = Digest::of(family);
        let last = Digest::of(&token);
        self.families.insert(key, Family { consent: consent.clone(), last });
        self.tokens(Consent { scopes, ..consent }, Some(key), Some(token))
    }

    fn tokens(
        &mut self,
        consent: Consent,
        family: Option<Digest>,
        refresh: Option<String>,
    ) -> Tokens {
        let token = secret::whole(ACCESS, &*self.entropy);
        let expires_in = self.access_token_ttl;
        let expires_at = self.clock.now() + expires_in;
        let scopes = consent.scopes;
        self.access.insert(Digest::of(&token), Access { consent, family, expires_at });
        Tokens { access: token, refresh, scopes, expires_in }
    }

    /// Revokes a token of this client, RFC 7009: an access token alone, a refresh token with all
    /// that came of its authorization. What is unknown is revoked already.
    pub(super) fn revoke(&mut self, client: &str, token: &str) -> Answer<()> {
        let others = invalid_grant("the token was issued to another client");
        let key = Digest::of(token);
        if let Some(access) = self.access.get(&key) {
            if access.consent.client != client {
                return Err(others);
            }
            self.access.remove(&key);
        }
        let Some(key) = family_of(token).map(Digest::of) else { return Ok(()) };
        if let Some(family) = self.families.get(&key) {
            if family.consent.client != client {
                return Err(others);
            }
            self.end(&key);
        }
        Ok(())
    }

    /// Ends everything that was granted in the name of an account.
    pub(super) fn withdraw(&mut self, account: &str) {
        self.codes.retain(|code| code.binding.consent.account != account);
        self.families.retain(|family| family.consent.account != account);
        self.access.retain(|access| access.consent.account != account);
    }

    fn end(&mut self, family: &Digest) {
        self.families.remove(family);
        self.access.retain(|access| access.family.as_ref() != Some(family));
    }
}

/// The family's part of a refresh token.
fn family_of(token: &str) -> Option<&str> {
    let (family, own) = token.strip_prefix(REFRESH)?.split_at_checked(HALF)?;
    (own.len() == HALF).then_some(family)
}

const fn invalid_grant(description: &'static str) -> Error {
    Error::new(ErrorCode::InvalidGrant, description)
}

#[cfg(test)]
mod tests {
    use keystile_runtime::SystemEntropy;
    use keystile_testkit::MockClock;

    use super::*;

    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

    fn binding() -> Binding {
        let consent =
            Consent { client: "a".to_owned(), account: "b".to_owned(), scopes: Scopes::ALL };
        let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM".to_owned();
        Binding { consent, redirect_uri: String::new(), challenge }
    }

    #[test]
    fn codes_families_and_tokens_are_bounded_and_the_oldest_make_room() {
        let clock = Arc::new(MockClock::default());
        let mut ledger = Ledger::new(CODE_TTL, clock, Arc::new(SystemEntropy));
        let codes: Vec<_> = (0..=MAX_CODES).map(|_| ledger.code(binding())).collect();
        assert!(ledger.redeem("a", &codes[0], "", VERIFIER).is_err());
        assert!(ledger.redeem("a", &codes[1], "", VERIFIER).is_ok());

        let refresh = |tokens: Tokens| tokens.refresh.expect("a refresh token");
        let families: Vec<_> = (0..=MAX_FAMILIES)
            .map(|_| {
                let code = ledger.code(binding());
                refresh(ledger.redeem("a", &code, "", VERIFIER).expect("tokens"))
            })
            .collect();
        assert!(ledger.refresh("a", &families[0], None).is_err());
        assert!(ledger.refresh("a", &families[1], None).is_ok());

        let tokens: Vec<_> =
            (0..=MAX_ACCESS_TOKENS).map(|_| ledger.own("a", Scopes::ALL).access).collect();
        assert!(ledger.access(&tokens[0]).is_none() && ledger.access(&tokens[1]).is_some());
    }
}
