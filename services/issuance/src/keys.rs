//! Keys: one file a use case, and what they have in common.

use async_trait::async_trait;
use keystile_domain::{
    Actor, KeyId, OperationId, Permission, Scope, TeamId, Tick, facts::KeyStatus, log::ChangeKind,
};
use time::OffsetDateTime;

use crate::{
    Error, Service,
    change::{After, Applied, Ask, Change, Effect, Outcome, subject},
    store::{KeyRecord, Operation, TeamRecord, Tx},
    trail,
};

mod check_grant;
mod create;
mod cut;
mod delete;
mod disable;
mod enable;
mod end_overlap;
mod get;
mod list;
mod mint;
mod put_grant;
mod regenerate;
pub(crate) mod release_components;
mod remove_grant;
pub(crate) mod retire_secrets;
mod revoke;
mod rotate;
mod rules;
mod update;

pub use check_grant::AskedGrant;
pub use create::NewKey;
pub use list::{KeyPage, ListKeys};
pub use update::KeyUpdate;

/// Who asks, and until when they wait.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who, as the console vouches.
    pub actor: Actor,
    /// Names the change; the service chooses if absent.
    pub operation: Option<OperationId>,
    /// When the caller must have an answer.
    pub deadline: Tick,
    /// SHA-256 of the request, by which a repeat of the operation is told from another under its id.
    pub request: Option<[u8; 32]>,
}

/// A key and how its change ended.
#[derive(Debug, Clone)]
pub struct Changed {
    /// The key after the change.
    pub key: KeyRecord,
    /// How the change ended.
    pub outcome: Outcome,
}

/// A key whose change made a token.
#[derive(Debug)]
pub struct Issued {
    /// The key after the change.
    pub key: KeyRecord,
    /// The token. Returned once, stored nowhere.
    pub token: secrecy::SecretString,
    /// How the change ended.
    pub outcome: Outcome,
}

/// One change of one key, as a function of the key.
pub(crate) trait Edit: Send + Sync {
    /// What happens.
    const KIND: ChangeKind;

    /// Does it hand out a token, so that a repeat has nothing to return?
    const ISSUES: bool = false;

    /// Changes `key`, or refuses. Leaving it as it is means that things were so already.
    fn edit(&self, key: &mut KeyRecord, given: &Given<'_>) -> Result<(), Error>;
}

/// What an edit may depend on besides the key.
pub(crate) struct Given<'g> {
    pub(crate) now: OffsetDateTime,
    pub(crate) team: &'g TeamRecord,
}

/// Who may edit.
pub(crate) enum By<'a> {
    /// A member, with the permission for the key's environment.
    Member(&'a Actor),
    /// Whoever was checked before: the operator, across teams, or vault for one who may change apps.
    Checked,
}

pub(crate) struct EditKey<'a, E> {
    pub(crate) by: By<'a>,
    pub(crate) team: TeamId,
    pub(crate) id: KeyId,
    pub(crate) edit: E,
}

#[async_trait]
impl<E: Edit> Change for EditKey<'_, E> {
    fn kind(&self) -> ChangeKind {
        E::KIND
    }

    fn scope(&self) -> Scope {
        Scope::Key(self.id)
    }

    async fn apply(&self, tx: &mut dyn Tx, at: OffsetDateTime) -> Result<Applied, Error> {
        let before = tx.key(self.team, self.id).await?.ok_or(Error::NotFound("key"))?;
        if before.deleted_at.is_some() && E::KIND != ChangeKind::KeyDeleted {
            return Err(Error::NotFound("key"));
        }
        if let By::Member(actor) = self.by {
            actor.require(Permission::for_keys_in(before.environment))?;
        }
        let ends = matches!(E::KIND, ChangeKind::KeyRevoked | ChangeKind::KeyDeleted);
        if before.status == KeyStatus::Revoked && !ends {
            return Err(Error::KeyRevoked);
        }
        let team = tx.team(self.team).await?.ok_or(Error::NotFound("team"))?;
        let mut after = before.clone();
        match self.edit.edit(&mut after, &Given { now: at, team: &team }) {
            // There is nothing left to end if this very cut was the last: then it is waited for.
            Err(Error::NoOverlap) if self.was_last(tx).await? => after.clone_from(&before),
            result => result?,
        }
        if after == before {
            return Ok(Applied::Unchanged(After::Key(Box::new(after))));
        }
        after.updated_at = at;
        after.version += 1;
        tx.update_key(&before, &after).await?;
        let (changed_before, changed_after) = trail::difference(&before, &after);
        Ok(Applied::Changed(Box::new(Effect {
            cut: cut::takes_access_away(&before, &after, at),
            label: before.label(),
            before: changed_before,
            after: changed_after,
            result: After::Key(Box::new(after)),
        })))
    }

    async fn repeat(&self, tx: &mut dyn Tx, made: &Operation) -> Result<After, Error> {
        if E::ISSUES {
            return Err(Error::OperationRepeated(subject(made.scope)));
        }
        let key = tx.key(self.team, self.id).await?.ok_or(Error::NotFound("key"))?;
        Ok(After::Key(Box::new(key)))
    }
}

impl<E: Edit> EditKey<'_, E> {
    /// Was a change of this kind the key's last cut?
    async fn was_last(&self, tx: &mut dyn Tx) -> Result<bool, Error> {
        let last = tx.last_cut(self.team, Scope::Key(self.id)).await?;
        Ok(last.is_some_and(|last| last.kind == E::KIND))
    }
}

impl Service {
    /// Edits one key of the caller's team.
    pub(crate) async fn edit_key<E: Edit>(
        &self,
        caller: &Caller,
        id: KeyId,
        edit: E,
    ) -> Result<Changed, Error> {
        let team = caller.actor.require(Permission::Read)?;
        let change = EditKey { by: By::Member(&caller.actor), team, id, edit };
        let (after, outcome) = self.carry_out(&self.ask(caller, team), &change).await?;
        Ok(Changed { key: after.key()?, outcome })
    }

    /// A key that the caller may write, as it is now: for what has to be known before the
    /// transaction, which checks again.
    pub(crate) async fn key_to_write(
        &self,
        caller: &Caller,
        id: KeyId,
    ) -> Result<KeyRecord, Error> {
        let team = caller.actor.require(Permission::Read)?;
        let key = self.store.key(team, id).await?;
        let key = key.filter(|key| key.deleted_at.is_none()).ok_or(Error::NotFound("key"))?;
        caller.actor.require(Permission::for_keys_in(key.environment))?;
        if key.status == KeyStatus::Revoked {
            return Err(Error::KeyRevoked);
        }
        Ok(key)
    }

    /// What `caller` asks for, in `team`.
    pub(crate) fn ask(&self, caller: &Caller, team: TeamId) -> Ask {
        Ask {
            team,
            operation: caller.operation.unwrap_or_else(|| self.new_operation()),
            origin: (&caller.actor).into(),
            deadline: caller.deadline,
            request: caller.request,
        }
    }

    pub(crate) fn new_operation(&self) -> OperationId {
        OperationId::generate(self.now(), &*self.entropy)
    }
}
