//! What the console keeps, and the one way to it. Every change carries its audit row and is one
//! transaction: both are stored or neither.

mod entity;
pub mod memory;
pub mod migration;
pub mod sql;

use async_trait::async_trait;
use keystile_domain::{AuditId, ErrorKind, ManagementTokenId, MemberRole, TeamId, UserId};
use time::OffsetDateTime;

use crate::{email::Email, token::Digest};

/// A person who logs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Who.
    pub id: UserId,
    /// The log-in name, unique.
    pub email: Email,
    /// What people call them.
    pub name: Option<String>,
    /// The Argon2id PHC string of the password.
    pub password_hash: String,
    /// Since when.
    pub created_at: OffsetDateTime,
}

/// A team, as the console shows it. Issuance owns what a team may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Team {
    /// Which.
    pub id: TeamId,
    /// What people call it.
    pub name: String,
    /// Since when.
    pub created_at: OffsetDateTime,
}

/// A user's place in a team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The team.
    pub team: TeamId,
    /// The user.
    pub user: UserId,
    /// What the user is there.
    pub role: MemberRole,
    /// Since when.
    pub created_at: OffsetDateTime,
}

/// A management token. Never its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Which.
    pub id: ManagementTokenId,
    /// The one team it works in.
    pub team: TeamId,
    /// Whose it is: it is never worth more than their role.
    pub created_by: UserId,
    /// What people call it.
    pub name: String,
    /// The most it is worth.
    pub role: MemberRole,
    /// How it is found.
    pub digest: Digest,
    /// Since when.
    pub created_at: OffsetDateTime,
    /// When it stops by itself.
    pub expires_at: Option<OffsetDateTime>,
    /// When it was revoked.
    pub revoked_at: Option<OffsetDateTime>,
}

/// A token together with what its creator is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The token.
    pub token: Token,
    /// Its creator's address.
    pub email: Email,
    /// Its creator's role in the token's team now; `None` once they have left.
    pub role: Option<MemberRole>,
}

/// One row of the console's audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// Which; orders the trail.
    pub id: AuditId,
    /// When.
    pub at: OffsetDateTime,
    /// In which team.
    pub team: TeamId,
    /// Who: `user_…`, `mtok_…` or "operator".
    pub actor: String,
    /// Who, as shown.
    pub actor_label: String,
    /// What, for example "token.created".
    pub action: String,
    /// On what: a prefixed id.
    pub subject_id: String,
    /// What the subject was called then.
    pub subject_label: String,
    /// JSON of what changed, before; empty if nothing was there.
    pub before: String,
    /// JSON of what changed, after; empty if nothing is left.
    pub after: String,
    /// The request.
    pub request_id: String,
    /// Where it came from; empty if unknown.
    pub source_ip: String,
}

/// A team with its first owner, who may do everything, and a token to do it with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Founding {
    /// The owner.
    pub user: User,
    /// The team.
    pub team: Team,
    /// Their membership.
    pub membership: Membership,
    /// Their token.
    pub token: Token,
    /// What the trail says of each.
    pub audit: Vec<Audit>,
}

/// What came of revoking a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revoked {
    /// It worked until now.
    Now(Token),
    /// It had been revoked before; nothing was written.
    Before(Token),
    /// The team has no such token.
    Missing,
}

/// A failure of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Another user has this address.
    #[error("a user with this e-mail address exists")]
    EmailTaken,
    /// The database failed.
    #[error(transparent)]
    Database(#[from] keystile_sql::Error),
}

impl Error {
    /// What it means to the caller.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::EmailTaken => ErrorKind::Conflict,
            Self::Database(cause) => cause.kind(),
        }
    }
}

impl keystile_sql::Collides for Error {
    fn collides(&self) -> bool {
        match self {
            Self::EmailTaken => false,
            Self::Database(cause) => cause.collides(),
        }
    }
}

/// The console's database.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Does it answer?
    async fn ping(&self) -> Result<(), Error>;

    /// The user with this address.
    async fn user_by_email(&self, email: &Email) -> Result<Option<User>, Error>;

    /// Stores a team and its first owner. [`Error::EmailTaken`] changes nothing.
    async fn found(&self, founding: Founding) -> Result<(), Error>;

    /// The team, as shown.
    async fn team(&self, team: TeamId) -> Result<Option<Team>, Error>;

    /// What a user is in a team.
    async fn membership(&self, team: TeamId, user: UserId) -> Result<Option<Membership>, Error>;

    /// Gives a member another role, or takes their place away with `None`. `false` if they are no
    /// member.
    async fn set_member_role(
        &self,
        team: TeamId,
        user: UserId,
        role: Option<MemberRole>,
        audit: Audit,
    ) -> Result<bool, Error>;

    /// Stores a new token.
    async fn create_token(&self, token: Token, audit: Audit) -> Result<(), Error>;

    /// The token with this digest, whatever its state, and what its creator is now.
    async fn holder(&self, digest: &Digest) -> Result<Option<Holder>, Error>;

    /// One token of a team.
    async fn token(&self, team: TeamId, id: ManagementTokenId) -> Result<Option<Token>, Error>;

    /// At most `limit` tokens of a team, newest first, from the one after `after`.
    async fn tokens(
        &self,
        team: TeamId,
        after: Option<ManagementTokenId>,
        limit: u64,
    ) -> Result<Vec<Token>, Error>;

    /// Revokes a token of a team. `audit` is stored only if it worked until now.
    async fn revoke_token(
        &self,
        team: TeamId,
        id: ManagementTokenId,
        at: OffsetDateTime,
        audit: Audit,
    ) -> Result<Revoked, Error>;

    /// At most `limit` rows of a team's trail, newest first, from the one after `after`; only those
    /// about `subject` if it is given.
    async fn audit(
        &self,
        team: TeamId,
        after: Option<AuditId>,
        subject: Option<&str>,
        limit: u64,
    ) -> Result<Vec<Audit>, Error>;
}
