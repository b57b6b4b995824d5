//! Reading a team.

use keystile_contract::Failure;
use keystile_domain::{Actor, Permission, TeamId};

use super::Team;
use crate::{Error, Service};

impl Service {
    /// The actor's own team; the operator names one.
    ///
    /// # Errors
    /// [`Error::NotFound`] for any other.
    #[tracing::instrument(name = "issuance.get_team", skip_all)]
    pub async fn get_team(&self, actor: &Actor, named: Option<TeamId>) -> Result<Team, Error> {
        let id = match (actor.require_operator(), named) {
            (Ok(()), named) => named.ok_or_else(|| Failure::invalid("team_id", "is required"))?,
            (Err(_), named) => {
                let own = actor.require(Permission::Read)?;
                if named.is_some_and(|named| named != own) {
                    return Err(Error::NotFound("team"));
                }
                own
            }
        };
        let record = self.store.team(id).await?.ok_or(Error::NotFound("team"))?;
        self.counted(record).await
    }
}
