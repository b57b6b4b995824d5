//! `keystile connections`.

pub(super) mod show;

use anyhow::bail;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    client::Client,
    input::{fields, secret, variables},
    output::{self, Output, confirm},
};

/// What can be done with connections.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Link an account; the credential is read from a file or from standard input
    ///
    /// Accounts for which a person consents in a browser begin with `keystile integrations
    /// connect`. `keystile apps show APP` tells how an app is connected.
    Create(Create),
    /// List connections
    List {
        /// Only this app
        #[arg(long)]
        app: Option<String>,
        /// Where the page before ended
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Show one connection
    Show {
        /// `conn_…`
        id: String,
    },
    /// Call the app with the credential
    Test {
        /// `conn_…`
        id: String,
    },
    /// Destroy the credential; keys that use it lose the app
    Delete {
        /// `conn_…`
        id: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

/// An account to link. Where a file is wanted, `-` is standard input.
#[derive(Debug, Args)]
pub struct Create {
    /// The app
    #[arg(long)]
    app: String,
    /// What to call it
    #[arg(long)]
    name: String,
    #[command(flatten)]
    credential: Credential,
    /// The user of --password-file
    #[arg(long, requires = "password_file")]
    username: Option<String>,
    /// A variable of the app's address
    #[arg(long, value_name = "NAME=VALUE")]
    variable: Vec<String>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Credential {
    /// A file with a bearer token
    #[arg(long, value_name = "FILE")]
    bearer_file: Option<String>,
    /// A file with an API key
    #[arg(long, value_name = "FILE")]
    api_key_file: Option<String>,
    /// A file with a password, for --username
    #[arg(long, value_name = "FILE", requires = "username")]
    password_file: Option<String>,
    /// One of several secrets that the app wants together, in a file
    #[arg(long, value_name = "NAME=FILE", num_args = 1..)]
    field: Vec<String>,
    /// An OAuth client of grant `client_credentials`, `int_…`: it is the account
    #[arg(long, value_name = "ID")]
    integration: Option<String>,
}

impl Credential {
    fn read(&self, username: Option<&str>) -> anyhow::Result<Value> {
        if let Some(file) = &self.bearer_file {
            return Ok(json!({ "bearerToken": secret(file)? }));
        }
        if let Some(file) = &self.api_key_file {
            return Ok(json!({ "apiKey": secret(file)? }));
        }
        if let Some(id) = &self.integration {
            return Ok(json!({ "integrationId": id }));
        }
        if !self.field.is_empty() {
            return Ok(json!({ "fields": fields(&self.field)? }));
        }
        match (username, &self.password_file) {
            (Some(username), Some(file)) => {
                Ok(json!({ "basic": { "username": username, "password": secret(file)? } }))
            }
            _ => bail!("a credential is required"),
        }
    }
}

#[derive(Debug, Deserialize)]
struct Tested {
    ok: bool,
    detail: String,
}

pub(super) async fn run(command: Command, client: &Client, output: Output) -> anyhow::Result<()> {
    match command {
        Command::Create(create) => {
            let body = json!({
                "appKey": create.app,
                "name": create.name,
                "credential": create.credential.read(create.username.as_deref())?,
                "serverVariables": variables(&create.variable)?,
            });
            let answer = client.manage(Method::POST, &["connections"], &[], Some(&body)).await?;
            output.show(&answer, |output| Ok(show::text(output, &answer.read()?)))
        }
        Command::List { app, cursor } => {
            let query = [("app", app), ("cursor", cursor)];
            let query: Vec<_> =
                query.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
            let answer = client.manage(Method::GET, &["connections"], &query, None).await?;
            output.show(&answer, |output| show::table(output, &answer))
        }
        Command::Show { id } => {
            let answer = client.manage(Method::GET, &["connections", &id], &[], None).await?;
            output.show(&answer, |output| Ok(show::text(output, &answer.read()?)))
        }
        Command::Test { id } => {
            let path = ["connections", &id, "test"];
            let answer = client.manage(Method::POST, &path, &[], None).await?;
            let tested: Tested = answer.read()?;
            output.show(&answer, |_| Ok(output::plain(&tested.detail)))?;
            if tested.ok { Ok(()) } else { bail!("the app did not accept the credential") }
        }
        Command::Delete { id, yes } => {
            let question =
                format!("Destroy the credential of {id}? Keys that use it lose the app.");
            confirm(&question, yes)?;
            let answer = client.manage(Method::DELETE, &["connections", &id], &[], None).await?;
            output.outcome(&answer)
        }
    }
}
