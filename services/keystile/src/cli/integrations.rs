//! `keystile integrations`.

mod show;

use anyhow::bail;
use clap::{Args, Subcommand, ValueEnum};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use self::show::Integration;
use super::{
    client::Client,
    input::{secret, variables},
    output::{Outcome, Output, confirm, plain},
};

/// What can be done with integrations.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Add your OAuth client for an app, and say which callback URL to register at the provider
    Create(Create),
    /// List integrations
    List {
        /// Only this app
        #[arg(long)]
        app: Option<String>,
        /// Where the page before ended
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Show one integration
    Show {
        /// `int_…`
        id: String,
    },
    /// Change name, client, scopes or return URLs; another client has to be checked again
    Update(Update),
    /// Ask the provider whether it knows the client; exits with 1 if it does not
    Check {
        /// `int_…`
        id: String,
    },
    /// Stop every account that was connected through it
    Disable(Confirmed),
    /// Let them work again
    Enable {
        /// `int_…`
        id: String,
    },
    /// Destroy the client secret; its connections have to be deleted first
    Delete(Confirmed),
    /// Print the address at which a person connects their account, once
    Connect(Connect),
}

/// Names an integration for something that stops what works.
#[derive(Debug, Args)]
pub struct Confirmed {
    /// `int_…`
    id: String,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

/// How accounts are connected.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum GrantType {
    /// A person consents in a browser
    AuthorizationCode,
    /// The client is the account
    ClientCredentials,
}

impl GrantType {
    const fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::ClientCredentials => "client_credentials",
        }
    }
}

/// An OAuth client as the provider shows it. The secret comes from a file; `-` is standard input.
#[derive(Debug, Args)]
pub struct Create {
    /// The app
    #[arg(long)]
    app: String,
    /// What to call it
    #[arg(long)]
    name: String,
    /// The client id
    #[arg(long, value_name = "ID")]
    client_id: String,
    /// A file with the client secret; none for a public client
    #[arg(long, value_name = "FILE")]
    client_secret_file: Option<String>,
    /// How accounts are connected; that of the app unless given
    #[arg(long, value_enum, value_name = "GRANT")]
    grant: Option<GrantType>,
    /// What to ask for; what the app's components need unless given
    #[arg(long, num_args = 1..)]
    scope: Vec<String>,
    /// Where programs may have the browser sent after a connection
    #[arg(long, value_name = "URL", num_args = 1..)]
    return_url: Vec<String>,
}

impl Create {
    fn body(&self) -> anyhow::Result<Value> {
        let mut body = json!({
            "appKey": self.app,
            "name": self.name,
            "clientId": self.client_id,
            "scopes": self.scope,
            "returnUrls": self.return_url,
        });
        if let Some(grant) = self.grant {
            body["grantType"] = json!(grant.as_str());
        }
        if let Some(file) = &self.client_secret_file {
            body["clientSecret"] = json!(secret(file)?);
        }
        Ok(body)
    }
}

/// What to change.
#[derive(Debug, Args)]
#[group(multiple = true)]
pub struct Update {
    /// `int_…`
    id: String,
    /// What to call it
    #[arg(long)]
    name: Option<String>,
    /// Another client id
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// A file with another client secret; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "no_client_secret")]
    client_secret_file: Option<String>,
    /// It is a public client
    #[arg(long)]
    no_client_secret: bool,
    /// What to ask for from now on
    #[arg(long, num_args = 1.., conflicts_with = "default_scopes")]
    scope: Vec<String>,
    /// Ask for what the app's components need
    #[arg(long)]
    default_scopes: bool,
    /// Where programs may have the browser sent after a connection
    #[arg(long, value_name = "URL", num_args = 1.., conflicts_with = "no_return_urls")]
    return_url: Vec<String>,
    /// Nowhere
    #[arg(long)]
    no_return_urls: bool,
    /// The version that you saw: refused if another change came since
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    version: Option<u64>,
}

impl Update {
    fn body(&self) -> anyhow::Result<Value> {
        let mut body = Map::new();
        let mut set = |name: &str, value| body.insert(name.to_owned(), value);
        if let Some(name) = &self.name {
            set("name", json!(name));
        }
        if let Some(id) = &self.client_id {
            set("clientId", json!(id));
        }
        if let Some(file) = &self.client_secret_file {
            set("clientSecret", json!(secret(file)?));
        } else if self.no_client_secret {
            set("clientSecret", Value::Null);
        }
        if self.default_scopes || !self.scope.is_empty() {
            set("scopes", json!(self.scope));
        }
        if self.no_return_urls || !self.return_url.is_empty() {
            set("returnUrls", json!(self.return_url));
        }
        if body.is_empty() {
            bail!("say what to change: see `keystile integrations update --help`");
        }
        if let Some(version) = self.version {
            body.insert("version".to_owned(), json!(version));
        }
        Ok(Value::Object(body))
    }
}

/// An account to connect: a new one, or one that is there.
#[derive(Debug, Args)]
pub struct Connect {
    /// `int_…`
    id: String,
    #[command(flatten)]
    account: Account,
    /// A variable of the app's address
    #[arg(long, value_name = "NAME=VALUE", conflicts_with = "connection")]
    variable: Vec<String>,
    /// Where the browser goes in the end: one of the integration's return URLs
    #[arg(long, value_name = "URL")]
    return_url: Option<String>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Account {
    /// What to call the new connection
    #[arg(long)]
    name: Option<String>,
    /// Connect this one again, `conn_…`: keys that use it go on
    #[arg(long, value_name = "ID")]
    connection: Option<String>,
}

impl Connect {
    fn body(&self) -> anyhow::Result<Value> {
        let mut body = match &self.account.connection {
            Some(id) => json!({ "connectionId": id }),
            None => json!({
                "name": self.account.name,
                "serverVariables": variables(&self.variable)?,
            }),
        };
        if let Some(url) = &self.return_url {
            body["returnUrl"] = json!(url);
        }
        Ok(body)
    }
}

#[derive(Debug, Deserialize)]
struct Checked {
    ok: bool,
    detail: String,
    integration: Integration,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Started {
    url: String,
    expires_at: String,
}

pub(super) async fn run(command: Command, client: &Client, output: Output) -> anyhow::Result<()> {
    match command {
        Command::Create(create) => {
            let body = create.body()?;
            let answer = client.manage(Method::POST, &["integrations"], &[], Some(&body)).await?;
            output.show(&answer, |output| {
                let made: Integration = answer.read()?;
                Ok(format!("{}\n\n{}", show::text(output, &made), plain_lines(&made.next())))
            })
        }
        Command::List { app, cursor } => {
            let query = [("app", app), ("cursor", cursor)];
            let query: Vec<_> =
                query.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
            let answer = client.manage(Method::GET, &["integrations"], &query, None).await?;
            output.show(&answer, |_| show::table(&answer))
        }
        Command::Show { id } => {
            let answer = client.manage(Method::GET, &["integrations", &id], &[], None).await?;
            output.show(&answer, |output| Ok(show::text(output, &answer.read()?)))
        }
        Command::Update(update) => {
            let (path, body) = (["integrations", &update.id], update.body()?);
            let answer = client.manage(Method::PATCH, &path, &[], Some(&body)).await?;
            output.show(&answer, |output| Ok(show::text(output, &answer.read()?)))
        }
        Command::Check { id } => check(client, output, &id).await,
        Command::Disable(Confirmed { id, yes }) => {
            confirm(&format!("Stop every account that was connected through {id}?"), yes)?;
            switch(client, output, &id, "disable").await
        }
        Command::Enable { id } => switch(client, output, &id, "enable").await,
        Command::Delete(Confirmed { id, yes }) => {
            confirm(&format!("Destroy the client secret of {id}?"), yes)?;
            let answer = client.manage(Method::DELETE, &["integrations", &id], &[], None).await?;
            output.outcome(&answer)
        }
        Command::Connect(connect) => {
            let (path, body) = (["integrations", &connect.id, "connect"], connect.body()?);
            let answer = client.manage(Method::POST, &path, &[], Some(&body)).await?;
            let started: Started = answer.read()?;
            let ends = output.ago(&started.expires_at);
            eprintln!("Open this in a browser. It works once and ends {}.", plain(&ends));
            output.show(&answer, |_| Ok(plain(&started.url)))
        }
    }
}

async fn check(client: &Client, output: Output, id: &str) -> anyhow::Result<()> {
    let answer = client.manage(Method::POST, &["integrations", id, "check"], &[], None).await?;
    let checked: Checked = answer.read()?;
    output.show(&answer, |_| {
        let detail = plain(&checked.detail);
        if !checked.ok {
            return Ok(detail);
        }
        let Integration { id, status, .. } = &checked.integration;
        Ok(format!("{detail}: {id} is {status}\n{}", plain_lines(&checked.integration.next())))
    })?;
    if checked.ok {
        Ok(())
    } else {
        bail!("the check failed; {id} is {}", checked.integration.status)
    }
}

async fn switch(client: &Client, output: Output, id: &str, verb: &str) -> anyhow::Result<()> {
    let answer = client.manage(Method::POST, &["integrations", id, verb], &[], None).await?;
    output.show(&answer, |_| {
        #[derive(Deserialize)]
        struct Switched {
            integration: Integration,
        }
        let Switched { integration } = answer.read()?;
        let outcome: Outcome = answer.read()?;
        Ok(format!("{} is {}\n{}", integration.id, integration.status, outcome.line()))
    })
}

/// Lines of ours with words from elsewhere.
fn plain_lines(text: &str) -> String {
    text.lines().map(plain).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Root<T: Args> {
        #[command(flatten)]
        arguments: T,
    }

    fn parse<T: Args>(line: &str) -> T {
        let words = std::iter::once("test").chain(line.split(' '));
        Root::<T>::try_parse_from(words).expect("parses").arguments
    }

    #[test]
    fn a_create_line_becomes_the_documented_body() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret");
        std::fs::write(&path, "s3cret\n").expect("written");
        let line = format!(
            "--app slack --name ours --client-id c --client-secret-file {} --grant \
             client_credentials --scope a b --return-url https://a.example/",
            path.display()
        );
        let create: Create = parse(&line);
        let expected = json!({
            "appKey": "slack", "name": "ours", "clientId": "c", "clientSecret": "s3cret",
            "grantType": "client_credentials", "scopes": ["a", "b"],
            "returnUrls": ["https://a.example/"],
        });
        assert_eq!(create.body().expect("a body"), expected);
        let create: Create = parse("--app slack --name ours --client-id c");
        let body = create.body().expect("a body");
        assert!(body.get("clientSecret").is_none() && body.get("grantType").is_none());
    }

    #[test]
    fn an_update_changes_what_it_names_and_nothing_else() {
        let update: Update = parse("int_1 --no-client-secret --default-scopes --no-return-urls");
        let all = json!({"clientSecret": null, "scopes": [], "returnUrls": []});
        assert_eq!(update.body().expect("a body"), all);
        let update: Update = parse("int_1 --name n --version 3");
        assert_eq!(update.body().expect("a body"), json!({"name": "n", "version": 3}));
        assert!(parse::<Update>("int_1 --version 3").body().is_err());
    }

    #[test]
    fn connecting_again_names_the_connection_alone() {
        let connect: Connect = parse("int_1 --connection conn_1");
        assert_eq!(connect.body().expect("a body"), json!({"connectionId": "conn_1"}));
        let connect: Connect = parse("int_1 --name Ada --variable shop=acme --return-url u");
        let expected =
            json!({"name": "Ada", "serverVariables": {"shop": "acme"}, "returnUrl": "u"});
        assert_eq!(connect.body().expect("a body"), expected);
    }
}
