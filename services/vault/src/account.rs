//! The account behind a capability.

use std::sync::Arc;

use keystile_catalog::App;
use keystile_contract::capability::Capability;
use keystile_domain::ConnectionId;

use crate::{
    error::Error,
    integration::{self, GrantType},
    outside::Account,
    refresh::Fresh,
    vault::Vault,
};

/// An account that was opened for one call.
pub(crate) struct Opened {
    pub(crate) account: Account,
    pub(crate) connection: ConnectionId,
    /// Of its credential.
    pub(crate) version: u64,
    /// Can a provider issue another credential?
    pub(crate) renewable: bool,
}

impl Vault {
    /// The account behind a capability, with a credential that is good now.
    pub(crate) async fn opened(
        self: &Arc<Self>,
        capability: &Capability,
        app: &App,
        id: ConnectionId,
        refused: Option<u64>,
    ) -> Result<Opened, Error> {
        let Fresh { connection, sealed } = self.fresh(capability.team, id, refused).await?;
        let issued = connection.issued.as_ref();
        if connection.app != app.key
            || capability.integration != issued.map(|issued| issued.integration)
        {
            return Err(Error::ConnectionUnusable("it is of another app".to_owned()));
        }
        let mut asks_again = false;
        if let Some(issued) = issued {
            let found = self.store.find_integration(connection.team, issued.integration).await?;
            asks_again = found
                .as_ref()
                .is_some_and(|(own, _)| own.grant_type == GrantType::ClientCredentials);
            if found.is_none_or(|(own, _)| own.status == integration::Status::Disabled) {
                let problem = "its integration is disabled (integration_disabled)";
                return Err(Error::ConnectionUnusable(problem.to_owned()));
            }
        }
        let account = self.account(&connection, &sealed).await?;
        Ok(Opened {
            renewable: asks_again || account.refreshable,
            account,
            connection: id,
            version: sealed.version,
        })
    }
}
