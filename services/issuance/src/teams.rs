//! Teams and plans: one file a use case, and what they have in common.

use async_trait::async_trait;
use keystile_domain::{Scope, TeamId, log::ChangeKind};
use time::OffsetDateTime;

use crate::{
    Error, Service,
    change::{After, Applied, Change, Effect, Outcome},
    keys::Caller,
    store::{Operation, TeamRecord, Tx},
    trail,
};

mod create;
mod get;
mod resume;
mod retire_token_key;
mod set_plan;
mod suspend;

pub use retire_token_key::Retired;

/// A team, and how many keys count against its plan.
#[derive(Debug, Clone)]
pub struct Team {
    /// The team.
    pub record: TeamRecord,
    /// Keys that are neither revoked nor deleted.
    pub key_count: u64,
}

/// One change of one team, as a function of the team.
pub(crate) trait Edit: Send + Sync {
    /// What happens.
    const KIND: ChangeKind;

    /// Changes `team`, and says whether that takes access away.
    fn edit(&self, team: &mut TeamRecord) -> bool;
}

struct EditTeam<E> {
    id: TeamId,
    edit: E,
}

#[async_trait]
impl<E: Edit> Change for EditTeam<E> {
    fn kind(&self) -> ChangeKind {
        E::KIND
    }

    fn scope(&self) -> Scope {
        Scope::Team(self.id)
    }

    async fn apply(&self, tx: &mut dyn Tx, _: OffsetDateTime) -> Result<Applied, Error> {
        let before = tx.team(self.id).await?.ok_or(Error::NotFound("team"))?;
        let mut after = before.clone();
        let cut = self.edit.edit(&mut after);
        if after == before {
            return Ok(Applied::Unchanged(After::Team(Box::new(after))));
        }
        tx.update_team(&after).await?;
        let (changed_before, changed_after) = trail::team_difference(&before, &after);
        Ok(Applied::Changed(Box::new(Effect {
            cut,
            label: before.name.to_string(),
            before: changed_before,
            after: changed_after,
            result: After::Team(Box::new(after)),
        })))
    }

    async fn repeat(&self, tx: &mut dyn Tx, _: &Operation) -> Result<After, Error> {
        let team = tx.team(self.id).await?.ok_or(Error::NotFound("team"))?;
        Ok(After::Team(Box::new(team)))
    }
}

impl Service {
    /// Edits a team, for the operator.
    async fn edit_team<E: Edit>(
        &self,
        caller: &Caller,
        id: TeamId,
        edit: E,
    ) -> Result<(Team, Outcome), Error> {
        caller.actor.require_operator()?;
        let change = EditTeam { id, edit };
        let (after, outcome) = self.carry_out(&self.ask(caller, id), &change).await?;
        Ok((self.counted(after.team()?).await?, outcome))
    }

    async fn counted(&self, record: TeamRecord) -> Result<Team, Error> {
        let key_count = self.store.count_keys(record.id).await?;
        Ok(Team { record, key_count })
    }
}
