//! Vault says that a connection or integration can or cannot be used.

use async_trait::async_trait;
use keystile_contract::Failure;
use keystile_domain::{OperationId, Role, Scope, TeamId, Tick, log::ChangeKind};
use serde_json::json;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::{
    Error, Service,
    change::{After, Applied, Ask, Change, Effect, Origin, Outcome},
    store::{Operation, ScopeStatus, Tx},
};

/// What vault reports, from its outbox.
#[derive(Debug, Clone, Copy)]
pub struct NewScopeStatus {
    /// The team that owns it.
    pub team: TeamId,
    /// A connection or an integration.
    pub scope: Scope,
    /// Can it be used?
    pub usable: bool,
    /// Vault's name for the change.
    pub operation: OperationId,
}

impl Service {
    /// Stores the status and appends it to the log in one transaction; a cut if it cannot be used.
    /// Always a row of its own, so that vault's receipt is for its own change; a repeat of the
    /// operation waits for the first one's row.
    ///
    /// # Errors
    /// A refusal if the scope is neither a connection nor an integration.
    #[tracing::instrument(name = "issuance.set_scope_status", skip_all, fields(team.id = %new.team))]
    pub async fn set_scope_status(
        &self,
        new: NewScopeStatus,
        deadline: Tick,
    ) -> Result<Outcome, Error> {
        if !matches!(new.scope, Scope::Connection(_) | Scope::Integration(_)) {
            let rule = "must be a connection or an integration";
            return Err(Failure::invalid("scope.kind", rule).into());
        }
        let origin = Origin {
            actor: Role::Vault.to_string(),
            label: Role::Vault.to_string(),
            request_id: String::new(),
            source_ip: None,
        };
        let (team, operation) = (new.team, new.operation);
        let said = Sha256::digest([u8::from(new.usable)]).into();
        let ask = Ask { team, operation, origin, deadline, request: Some(said) };
        Ok(self.carry_out(&ask, &SetScopeStatus(new)).await?.1)
    }
}

struct SetScopeStatus(NewScopeStatus);

#[async_trait]
impl Change for SetScopeStatus {
    fn kind(&self) -> ChangeKind {
        ChangeKind::ScopeStatusSet
    }

    fn scope(&self) -> Scope {
        self.0.scope
    }

    async fn apply(&self, tx: &mut dyn Tx, _: OffsetDateTime) -> Result<Applied, Error> {
        let NewScopeStatus { team, scope, usable, .. } = self.0;
        let before = tx.scope_usable(team, scope).await?;
        tx.put_scope_status(&ScopeStatus { team, scope, usable }).await?;
        Ok(Applied::Changed(Box::new(Effect {
            cut: !usable,
            label: String::new(),
            before: json!({ "usable": before }),
            after: json!({ "usable": usable }),
            result: After::Scope,
        })))
    }

    async fn repeat(&self, _: &mut dyn Tx, _: &Operation) -> Result<After, Error> {
        Ok(After::Scope)
    }
}
