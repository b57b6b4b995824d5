//! Creating a team.

use async_trait::async_trait;
use keystile_domain::{Scope, TeamId, log::ChangeKind, name::Name, plan::Plan};
use serde_json::Value;
use time::OffsetDateTime;

use super::Team;
use crate::{
    Error, Service,
    change::{After, Applied, Change, Effect},
    keys::Caller,
    store::{Operation, TeamRecord, TeamStatus, Tx},
    trail,
};

impl Service {
    /// Creates a team with the self-hosted plan, for the operator.
    ///
    /// # Errors
    /// [`Error::TeamExists`] if the id is taken.
    #[tracing::instrument(name = "issuance.create_team", skip_all, fields(team.id = %id))]
    pub async fn create_team(
        &self,
        caller: &Caller,
        id: TeamId,
        name: Name,
    ) -> Result<Team, Error> {
        caller.actor.require_operator()?;
        let (after, _) = self.carry_out(&self.ask(caller, id), &CreateTeam { id, name }).await?;
        Ok(Team { record: after.team()?, key_count: 0 })
    }
}

struct CreateTeam {
    id: TeamId,
    name: Name,
}

#[async_trait]
impl Change for CreateTeam {
    fn kind(&self) -> ChangeKind {
        ChangeKind::TeamCreated
    }

    fn scope(&self) -> Scope {
        Scope::Team(self.id)
    }

    async fn apply(&self, tx: &mut dyn Tx, at: OffsetDateTime) -> Result<Applied, Error> {
        let team = TeamRecord {
            id: self.id,
            name: self.name.clone(),
            status: TeamStatus::Active,
            plan: Plan::self_hosted(),
            created_at: at,
        };
        tx.insert_team(&team).await?;
        Ok(Applied::Changed(Box::new(Effect {
            cut: false,
            label: team.name.to_string(),
            before: Value::Null,
            after: trail::team_view(&team),
            result: After::Team(Box::new(team)),
        })))
    }

    async fn repeat(&self, _: &mut dyn Tx, _: &Operation) -> Result<After, Error> {
        Err(Error::TeamExists)
    }
}
