//! The store on SQLite or Postgres.

use async_trait::async_trait;
use keystile_domain::{AuditId, ManagementTokenId, MemberRole, TeamId, UserId};
use keystile_sql::{Database, from_micros, micros};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel,
    QueryFilter, QueryOrder, QuerySelect,
};
use time::OffsetDateTime;

use super::{
    Audit, Error, Founding, Holder, Membership, Revoked, Store, Team, Token, User, entity,
};
use crate::{email::Email, token::Digest};

/// The console's tables in a database.
#[derive(Debug, Clone)]
pub struct SqlStore(Database);

impl SqlStore {
    /// The store in `database`, whose migrations have been applied.
    #[must_use]
    pub const fn new(database: Database) -> Self {
        Self(database)
    }
}

/// Driver errors by way of `keystile_sql`, so that `?` works on both.
fn failed(cause: sea_orm::DbErr) -> Error {
    Error::Database(cause.into())
}

const fn corrupt(column: &'static str) -> Error {
    Error::Database(keystile_sql::Error::Corrupt(column))
}

#[async_trait]
impl Store for SqlStore {
    async fn ping(&self) -> Result<(), Error> {
        self.0.read().ping().await.map_err(failed)
    }

    async fn user_by_email(&self, email: &Email) -> Result<Option<User>, Error> {
        let row = entity::user::Entity::find()
            .filter(entity::user::Column::Email.eq(email.as_str()))
            .one(self.0.read())
            .await
            .map_err(failed)?;
        row.map(user).transpose()
    }

    async fn found(&self, founding: Founding) -> Result<(), Error> {
        self.0
            .transaction("console.found", |transaction| {
                let founding = founding.clone();
                Box::pin(async move { found(transaction, founding).await })
            })
            .await
    }

    async fn team(&self, team: TeamId) -> Result<Option<Team>, Error> {
        let row = entity::team::Entity::find_by_id(team.as_uuid())
            .one(self.0.read())
            .await
            .map_err(failed)?;
        row.map(|row| {
            let created_at = from_micros(row.created_at)?;
            Ok(Team { id: TeamId::from_uuid(row.id), name: row.name, created_at })
        })
        .transpose()
    }

    async fn membership(&self, team: TeamId, user: UserId) -> Result<Option<Membership>, Error> {
        membership(self.0.read(), team, user).await
    }

    async fn set_member_role(
        &self,
        team: TeamId,
        user: UserId,
        role: Option<MemberRole>,
        audit: Audit,
    ) -> Result<bool, Error> {
        self.0
            .transaction("console.set_member_role", |transaction| {
                let audit = audit.clone();
                Box::pin(async move {
                    let key = (team.as_uuid(), user.as_uuid());
                    let row = entity::membership::Entity::find_by_id(key)
                        .one(transaction)
                        .await
                        .map_err(failed)?;
                    let Some(row) = row else { return Ok(false) };
                    let mut row = row.into_active_model();
                    match role {
                        Some(role) => {
                            row.role = Set(role.as_str().to_owned());
                            row.update(transaction).await.map_err(failed)?;
                        }
                        None => {
                            row.delete(transaction).await.map_err(failed)?;
                        }
                    }
                    insert_audit(transaction, audit).await?;
                    Ok(true)
                })
            })
            .await
    }

    async fn create_token(&self, token: Token, audit: Audit) -> Result<(), Error> {
        self.0
            .transaction("console.create_token", |transaction| {
                let (token, audit) = (token.clone(), audit.clone());
                Box::pin(async move {
                    insert_token(transaction, token).await?;
                    insert_audit(transaction, audit).await
                })
            })
            .await
    }

    async fn holder(&self, digest: &Digest) -> Result<Option<Holder>, Error> {
        let row = entity::token::Entity::find()
            .filter(entity::token::Column::Digest.eq(digest.0.to_vec()))
            .one(self.0.read())
            .await
            .map_err(failed)?;
        let Some(token) = row.map(self::token).transpose()? else { return Ok(None) };
        // Read after the token: what is demoted before the call began is seen demoted.
        let membership = membership(self.0.read(), token.team, token.created_by).await?;
        let creator = entity::user::Entity::find_by_id(token.created_by.as_uuid())
            .one(self.0.read())
            .await
            .map_err(failed)?;
        let email = creator.map(user).transpose()?.ok_or(corrupt("created_by"))?.email;
        Ok(Some(Holder { token, email, role: membership.map(|row| row.role) }))
    }

    async fn token(&self, team: TeamId, id: ManagementTokenId) -> Result<Option<Token>, Error> {
        find_token(self.0.read(), team, id).await?.map(token).transpose()
    }

    async fn tokens(
        &self,
        team: TeamId,
        after: Option<ManagementTokenId>,
        limit: u64,
    ) -> Result<Vec<Token>, Error> {
        let mut query = entity::token::Entity::find()
            .filter(entity::token::Column::TeamId.eq(team.as_uuid()))
            .order_by_desc(entity::token::Column::Id)
            .limit(limit);
        if let Some(after) = after {
            query = query.filter(entity::token::Column::Id.lt(after.as_uuid()));
        }
        let rows = query.all(self.0.read()).await.map_err(failed)?;
        rows.into_iter().map(token).collect()
    }

    async fn revoke_token(
        &self,
        team: TeamId,
        id: ManagementTokenId,
        at: OffsetDateTime,
        audit: Audit,
    ) -> Result<Revoked, Error> {
        self.0
            .transaction("console.revoke_token", |transaction| {
                let audit = audit.clone();
                Box::pin(async move {
                    let Some(row) = find_token(transaction, team, id).await? else {
                        return Ok(Revoked::Missing);
                    };
                    if row.revoked_at.is_some() {
                        return Ok(Revoked::Before(token(row)?));
                    }
                    let mut row = row.into_active_model();
                    row.revoked_at = Set(Some(micros(at)));
                    let row = row.update(transaction).await.map_err(failed)?;
                    insert_audit(transaction, audit).await?;
                    Ok(Revoked::Now(token(row)?))
                })
            })
            .await
    }

    async fn audit(
        &self,
        team: TeamId,
        after: Option<AuditId>,
        subject: Option<&str>,
        limit: u64,
    ) -> Result<Vec<Audit>, Error> {
        let mut query = entity::audit::Entity::find()
            .filter(entity::audit::Column::TeamId.eq(team.as_uuid()))
            .order_by_desc(entity::audit::Column::Id)
            .limit(limit);
        if let Some(after) = after {
            query = query.filter(entity::audit::Column::Id.lt(after.as_uuid()));
        }
        if let Some(subject) = subject {
            query = query.filter(entity::audit::Column::SubjectId.eq(subject));
        }
        let rows = query.all(self.0.read()).await.map_err(failed)?;
        rows.into_iter().map(audit).collect()
    }
}

async fn found(transaction: &impl ConnectionTrait, founding: Founding) -> Result<(), Error> {
    let Founding { user, team, membership, token, audit } = founding;
    let user = entity::user::Model {
        id: user.id.as_uuid(),
        email: user.email.as_str().to_owned(),
        name: user.name,
        password_hash: user.password_hash,
        created_at: micros(user.created_at),
    };
    match entity::user::Entity::insert(user.into_active_model()).exec(transaction).await {
        Ok(_) => {}
        Err(cause) => {
            let cause = keystile_sql::Error::from(cause);
            // The id is new, so it is the address that exists.
            return Err(match cause {
                keystile_sql::Error::UniqueViolation => Error::EmailTaken,
                cause => cause.into(),
            });
        }
    }
    let team = entity::team::Model {
        id: team.id.as_uuid(),
        name: team.name,
        created_at: micros(team.created_at),
    };
    let team = entity::team::Entity::insert(team.into_active_model());
    team.exec(transaction).await.map_err(failed)?;
    let membership = entity::membership::Model {
        team_id: membership.team.as_uuid(),
        user_id: membership.user.as_uuid(),
        role: membership.role.as_str().to_owned(),
        created_at: micros(membership.created_at),
    };
    let membership = entity::membership::Entity::insert(membership.into_active_model());
    membership.exec(transaction).await.map_err(failed)?;
    insert_token(transaction, token).await?;
    for row in audit {
        insert_audit(transaction, row).await?;
    }
    Ok(())
}

async fn insert_token(to: &impl ConnectionTrait, token: Token) -> Result<(), Error> {
    let row = entity::token::Model {
        id: token.id.as_uuid(),
        team_id: token.team.as_uuid(),
        created_by: token.created_by.as_uuid(),
        name: token.name,
        role: token.role.as_str().to_owned(),
        digest: token.digest.0.to_vec(),
        created_at: micros(token.created_at),
        expires_at: token.expires_at.map(micros),
        revoked_at: token.revoked_at.map(micros),
    };
    entity::token::Entity::insert(row.into_active_model()).exec(to).await.map_err(failed)?;
    Ok(())
}

async fn insert_audit(to: &impl ConnectionTrait, audit: Audit) -> Result<(), Error> {
    let row = entity::audit::Model {
        id: audit.id.as_uuid(),
        at: micros(audit.at),
        team_id: audit.team.as_uuid(),
        actor: audit.actor,
        actor_label: audit.actor_label,
        action: audit.action,
        subject_id: audit.subject_id,
        subject_label: audit.subject_label,
        before: audit.before,
        after: audit.after,
        request_id: audit.request_id,
        source_ip: audit.source_ip,
    };
    entity::audit::Entity::insert(row.into_active_model()).exec(to).await.map_err(failed)?;
    Ok(())
}

async fn find_token(
    from: &impl ConnectionTrait,
    team: TeamId,
    id: ManagementTokenId,
) -> Result<Option<entity::token::Model>, Error> {
    entity::token::Entity::find_by_id(id.as_uuid())
        .filter(entity::token::Column::TeamId.eq(team.as_uuid()))
        .one(from)
        .await
        .map_err(failed)
}

async fn membership(
    from: &impl ConnectionTrait,
    team: TeamId,
    user: UserId,
) -> Result<Option<Membership>, Error> {
    let row = entity::membership::Entity::find_by_id((team.as_uuid(), user.as_uuid()))
        .one(from)
        .await
        .map_err(failed)?;
    row.map(|row| {
        Ok(Membership {
            team: TeamId::from_uuid(row.team_id),
            user: UserId::from_uuid(row.user_id),
            role: MemberRole::parse(&row.role).ok_or(corrupt("role"))?,
            created_at: from_micros(row.created_at)?,
        })
    })
    .transpose()
}

fn user(row: entity::user::Model) -> Result<User, Error> {
    Ok(User {
        id: UserId::from_uuid(row.id),
        email: row.email.parse().map_err(|_| corrupt("email"))?,
        name: row.name,
        password_hash: row.password_hash,
        created_at: from_micros(row.created_at)?,
    })
}

fn token(row: entity::token::Model) -> Result<Token, Error> {
    Ok(Token {
        id: ManagementTokenId::from_uuid(row.id),
        team: TeamId::from_uuid(row.team_id),
        created_by: UserId::from_uuid(row.created_by),
        name: row.name,
        role: MemberRole::parse(&row.role).ok_or(corrupt("role"))?,
        digest: Digest(row.digest.try_into().map_err(|_| corrupt("digest"))?),
        created_at: from_micros(row.created_at)?,
        expires_at: row.expires_at.map(from_micros).transpose()?,
        revoked_at: row.revoked_at.map(from_micros).transpose()?,
    })
}

fn audit(row: entity::audit::Model) -> Result<Audit, Error> {
    Ok(Audit {
        id: AuditId::from_uuid(row.id),
        at: from_micros(row.at)?,
        team: TeamId::from_uuid(row.team_id),
        actor: row.actor,
        actor_label: row.actor_label,
        action: row.action,
        subject_id: row.subject_id,
        subject_label: row.subject_label,
        before: row.before,
        after: row.after,
        request_id: row.request_id,
        source_ip: row.source_ip,
    })
}
