//! The store in memory, for tests of what is built on it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use keystile_domain::{AuditId, ManagementTokenId, MemberRole, TeamId, UserId};
use time::OffsetDateTime;

use super::{Audit, Error, Founding, Holder, Membership, Revoked, Store, Team, Token, User};
use crate::{email::Email, token::Digest};

#[derive(Debug, Default)]
struct Rows {
    users: Vec<User>,
    teams: Vec<Team>,
    memberships: Vec<Membership>,
    tokens: Vec<Token>,
    audit: Vec<Audit>,
}

/// Every row in one process; gone with it.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<Rows>);

impl MemoryStore {
    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn ping(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn user_by_email(&self, email: &Email) -> Result<Option<User>, Error> {
        Ok(self.rows().users.iter().find(|user| user.email == *email).cloned())
    }

    async fn found(&self, founding: Founding) -> Result<(), Error> {
        let mut rows = self.rows();
        if rows.users.iter().any(|user| user.email == founding.user.email) {
            return Err(Error::EmailTaken);
        }
        rows.users.push(founding.user);
        rows.teams.push(founding.team);
        rows.memberships.push(founding.membership);
        rows.tokens.push(founding.token);
        rows.audit.extend(founding.audit);
        Ok(())
    }

    async fn team(&self, team: TeamId) -> Result<Option<Team>, Error> {
        Ok(self.rows().teams.iter().find(|row| row.id == team).cloned())
    }

    async fn membership(&self, team: TeamId, user: UserId) -> Result<Option<Membership>, Error> {
        let rows = self.rows();
        Ok(rows.memberships.iter().find(|row| row.team == team && row.user == user).cloned())
    }

    async fn set_member_role(
        &self,
        team: TeamId,
        user: UserId,
        role: Option<MemberRole>,
        audit: Audit,
    ) -> Result<bool, Error> {
        let mut rows = self.rows();
        let at = rows.memberships.iter().position(|row| row.team == team && row.user == user);
        let Some(at) = at else { return Ok(false) };
        match role {
            Some(role) => rows.memberships[at].role = role,
            None => {
                rows.memberships.remove(at);
            }
        }
        rows.audit.push(audit);
        Ok(true)
    }

    async fn create_token(&self, token: Token, audit: Audit) -> Result<(), Error> {
        let mut rows = self.rows();
        rows.tokens.push(token);
        rows.audit.push(audit);
        Ok(())
    }

    async fn holder(&self, digest: &Digest) -> Result<Option<Holder>, Error> {
        let rows = self.rows();
        let Some(token) = rows.tokens.iter().find(|token| token.digest == *digest) else {
            return Ok(None);
        };
        let user = rows.users.iter().find(|user| user.id == token.created_by);
        let membership = rows
            .memberships
            .iter()
            .find(|row| row.team == token.team && row.user == token.created_by);
        Ok(user.map(|user| Holder {
            token: token.clone(),
            email: user.email.clone(),
            role: membership.map(|row| row.role),
        }))
    }

    async fn token(&self, team: TeamId, id: ManagementTokenId) -> Result<Option<Token>, Error> {
        let rows = self.rows();
        Ok(rows.tokens.iter().find(|token| token.team == team && token.id == id).cloned())
    }

    async fn tokens(
        &self,
        team: TeamId,
        after: Option<ManagementTokenId>,
        limit: u64,
    ) -> Result<Vec<Token>, Error> {
        let rows = self.rows();
        let mut tokens: Vec<_> = rows
            .tokens
            .iter()
            .filter(|token| token.team == team && after.is_none_or(|after| token.id < after))
            .cloned()
            .collect();
        tokens.sort_by_key(|token| std::cmp::Reverse(token.id));
        tokens.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(tokens)
    }

    async fn revoke_token(
        &self,
        team: TeamId,
        id: ManagementTokenId,
        at: OffsetDateTime,
        audit: Audit,
    ) -> Result<Revoked, Error> {
        let mut rows = self.rows();
        let Some(token) = rows.tokens.iter_mut().find(|row| row.team == team && row.id == id)
        else {
            return Ok(Revoked::Missing);
        };
        if token.revoked_at.is_some() {
            return Ok(Revoked::Before(token.clone()));
        }
        token.revoked_at = Some(at);
        let token = token.clone();
        rows.audit.push(audit);
        Ok(Revoked::Now(token))
    }

    async fn audit(
        &self,
        team: TeamId,
        after: Option<AuditId>,
        subject: Option<&str>,
        limit: u64,
    ) -> Result<Vec<Audit>, Error> {
        let rows = self.rows();
        let mut found: Vec<_> = rows
            .audit
            .iter()
            .filter(|row| row.team == team && after.is_none_or(|after| row.id < after))
            .filter(|row| subject.is_none_or(|subject| row.subject_id == subject))
            .cloned()
            .collect();
        found.sort_by_key(|row| std::cmp::Reverse(row.id));
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(found)
    }
}
