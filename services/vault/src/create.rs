//! Linking an account with a static credential.

use std::collections::BTreeMap;

use keystile_domain::{Actor, AppKey, ConnectionId, Permission, name::Name};

use crate::{
    audit::{self, Author},
    connection::{Connection, Health},
    credential::{Credential, Given},
    error::Error,
    vault::Vault,
};

/// The version of a connection's first credential.
const FIRST: u64 = 1;

/// The account to link.
pub(crate) struct Create {
    pub(crate) app: AppKey,
    pub(crate) name: Name,
    pub(crate) given: Given,
    pub(crate) variables: BTreeMap<String, String>,
}

impl Vault {
    /// Seals the credential and stores the connection with its audit row.
    pub(crate) async fn create(&self, actor: &Actor, create: Create) -> Result<Connection, Error> {
        let team = actor.require(Permission::ConnectionsWrite)?;
        let app = self.catalog.app(&create.app).ok_or(Error::UnknownApp)?;
        if !app.needs_connection() {
            return Err(Error::field("app_key", "this app needs no connection"));
        }
        app.base_url(&create.variables)
            .map_err(|error| Error::field("server_variables", error.to_string()))?;
        let secret = create
            .given
            .fit(&app.security)
            .map_err(|unfit| Error::field(unfit.field, unfit.problem))?;
        let now = self.clock.now();
        let connection = Connection {
            id: ConnectionId::generate(now, &*self.entropy),
            team,
            app: create.app.clone(),
            name: create.name,
            health: Health::active(),
            scheme: secret.scheme(),
            created_at: now,
            last_used_at: None,
        };
        let credential = Credential { app: create.app, variables: create.variables, secret };
        let sealed = self.keys.seal(team, connection.id, FIRST, &credential).await?;
        let author = Author::new(actor, now, &*self.entropy);
        let entry = author.entry(audit::CREATED, &connection, None, Some(&connection));
        self.store.insert_connection(&connection, &sealed, &entry).await?;
        Ok(connection)
    }
}
