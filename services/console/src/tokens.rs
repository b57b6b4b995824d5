//! Management tokens: made, listed, revoked. Their text is told once.

use keystile_domain::{ManagementTokenId, MemberRole, Permission, name::Name};
use secrecy::SecretString;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    Error, Service,
    store::{Revoked, Token},
    token,
    token_use::Caller,
    trail::Entry,
};

/// A token to make.
pub(crate) struct NewToken {
    pub(crate) name: String,
    pub(crate) role: MemberRole,
    pub(crate) expires_at: Option<OffsetDateTime>,
}

/// What the trail tells of a token.
fn told(token: &Token) -> Value {
    let expires_at = token.expires_at.and_then(|at| at.format(&Rfc3339).ok());
    json!({ "name": token.name, "role": token.role.as_str(), "expiresAt": expires_at })
}

impl Service {
    /// Makes a token for the person behind `caller`, at most as strong as the caller is now.
    #[tracing::instrument(name = "console.create_token", skip_all)]
    pub(crate) async fn create_token(
        &self,
        caller: &Caller,
        new: NewToken,
    ) -> Result<(Token, SecretString), Error> {
        caller.require(Permission::TokensWrite)?;
        at_most(caller, new.role)?;
        let name = Name::new(&new.name).map_err(|rule| Error::Name { field: "name", rule })?;
        let now = self.clock().now();
        if new.expires_at.is_some_and(|end| end <= now) {
            return Err(Error::PastExpiry);
        }
        let (text, digest) = token::mint(self.entropy());
        let token = Token {
            id: ManagementTokenId::generate(now, self.entropy()),
            team: caller.team,
            created_by: caller.user,
            name: name.as_str().to_owned(),
            role: new.role,
            digest,
            created_at: now,
            expires_at: new.expires_at,
            revoked_at: None,
        };
        let entry = Entry {
            team: caller.team,
            action: "token.created",
            subject_id: token.id.to_string(),
            subject_label: &token.name,
            before: Value::Null,
            after: told(&token),
        };
        let audit = self.audit_row(now, &caller.actor, entry);
        self.store().create_token(token.clone(), audit).await?;
        Ok((token, text))
    }

    /// At most `limit` tokens of the caller's team, newest first, from the one after `after`.
    #[tracing::instrument(name = "console.list_tokens", skip_all)]
    pub(crate) async fn list_tokens(
        &self,
        caller: &Caller,
        after: Option<ManagementTokenId>,
        limit: u64,
    ) -> Result<Vec<Token>, Error> {
        caller.require(Permission::TokensWrite)?;
        Ok(self.store().tokens(caller.team, after, limit).await?)
    }

    /// Revokes a token of the caller's team. It opens nothing from the next request on. Repeating
    /// it changes nothing.
    #[tracing::instrument(name = "console.revoke_token", skip_all)]
    pub(crate) async fn revoke_token(
        &self,
        caller: &Caller,
        id: ManagementTokenId,
    ) -> Result<Token, Error> {
        caller.require(Permission::TokensWrite)?;
        let token = self.store().token(caller.team, id).await?.ok_or(Error::TokenNotFound)?;
        at_most(caller, token.role)?;
        let now = self.clock().now();
        let entry = Entry {
            team: caller.team,
            action: "token.revoked",
            subject_id: token.id.to_string(),
            subject_label: &token.name,
            before: told(&token),
            after: Value::Null,
        };
        let audit = self.audit_row(now, &caller.actor, entry);
        match self.store().revoke_token(caller.team, id, now, audit).await? {
            Revoked::Now(token) | Revoked::Before(token) => Ok(token),
            Revoked::Missing => Err(Error::TokenNotFound),
        }
    }
}

/// Nobody makes or revokes a token above their own role.
fn at_most(caller: &Caller, role: MemberRole) -> Result<(), Error> {
    if role <= caller.role {
        Ok(())
    } else {
        Err(Error::AboveOwnRole { required: role, held: caller.role })
    }
}
