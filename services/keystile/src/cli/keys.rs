//! `keystile keys`.

mod grants;
mod show;

use std::time::Duration;

use anyhow::bail;
use clap::{Args, Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::{
    client::{Answer, Client},
    output::{Output, confirm},
    when,
};

/// What can be done with keys.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a key; its token is printed once
    Create(Create),
    /// List keys
    List(List),
    /// Show one key
    Show(Key),
    /// Give a key another name
    Rename {
        /// `key_…`
        id: String,
        /// The new name
        name: String,
    },
    /// Say what a key is for
    Describe {
        /// `key_…`
        id: String,
        /// The new description
        description: String,
    },
    /// Change expiry or IP list
    Edit(Edit),
    /// What a key may do with an app
    #[command(subcommand)]
    Grant(grants::Command),
    /// Stop a key for a while
    Disable(Key),
    /// Let a disabled key work again
    Enable(Key),
    /// Give a new secret and refuse every earlier one at once
    Regenerate(Confirmed),
    /// Give a second secret; both work until the overlap ends
    Rotate {
        /// `key_…`
        id: String,
        /// How long the old secret still works
        #[arg(long, value_parser = when::span, default_value = "24h", value_name = "SPAN")]
        overlap: Duration,
    },
    /// End the overlap of a rotation now
    EndOverlap(Key),
    /// Stop a key for good
    Revoke(Confirmed),
    /// Revoke a key and take it from the lists
    Delete(Confirmed),
}

/// Names a key.
#[derive(Debug, Args)]
pub struct Key {
    /// `key_…`
    id: String,
}

/// Names a key for something that cannot be undone.
#[derive(Debug, Args)]
pub struct Confirmed {
    /// `key_…`
    id: String,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

/// Where a key is used.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Environment {
    /// Production
    Prod,
    /// Staging
    Stg,
    /// Development
    Dev,
}

impl Environment {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Prod => "prod",
            Self::Stg => "stg",
            Self::Dev => "dev",
        }
    }
}

/// A key to create.
#[derive(Debug, Args)]
pub struct Create {
    /// What to call it
    #[arg(long)]
    name: String,
    /// Where it is used
    #[arg(long, value_enum)]
    env: Environment,
    /// What it is for
    #[arg(long)]
    description: Option<String>,
    #[command(flatten)]
    grant: grants::Grants,
    /// When it stops by itself
    #[arg(long, value_parser = when::instant, value_name = "TIME", conflicts_with = "expires_in")]
    expires_at: Option<OffsetDateTime>,
    /// When it stops by itself, from now
    #[arg(long, value_parser = when::span, value_name = "SPAN")]
    expires_in: Option<Duration>,
    /// A CIDR block or address it may be used from; anywhere unless given
    #[arg(long, value_name = "CIDR", num_args = 1..)]
    ip: Vec<String>,
}

impl Create {
    fn body(&self, now: OffsetDateTime) -> anyhow::Result<Value> {
        let mut body = json!({
            "name": self.name,
            "environment": self.env.as_str(),
            "connections": self.grant.all()?,
        });
        if let Some(description) = &self.description {
            body["description"] = json!(description);
        }
        if let Some(at) = self.expires_at.or(self.expires_in.map(|span| now + span)) {
            body["expiresAt"] = json!(when::rfc3339(at));
        }
        if !self.ip.is_empty() {
            body["ipAllowList"] = json!(self.ip);
        }
        Ok(body)
    }
}

/// What to change.
#[derive(Debug, Args)]
#[group(multiple = true)]
pub struct Edit {
    /// `key_…`
    id: String,
    /// When it stops by itself
    #[arg(long, value_parser = when::instant, value_name = "TIME", conflicts_with_all = ["expires_in", "never_expires"])]
    expires_at: Option<OffsetDateTime>,
    /// When it stops by itself, from now
    #[arg(long, value_parser = when::span, value_name = "SPAN", conflicts_with = "never_expires")]
    expires_in: Option<Duration>,
    /// It does not stop by itself
    #[arg(long)]
    never_expires: bool,
    /// The CIDR blocks or addresses it may be used from
    #[arg(long, value_name = "CIDR", num_args = 1.., conflicts_with = "any_ip")]
    ip: Vec<String>,
    /// It may be used from anywhere
    #[arg(long)]
    any_ip: bool,
}

impl Edit {
    fn body(&self, now: OffsetDateTime) -> anyhow::Result<Value> {
        let mut body = Map::new();
        let mut set = |name: &str, value| body.insert(name.to_owned(), value);
        if let Some(at) = self.expires_at.or(self.expires_in.map(|span| now + span)) {
            set("expiresAt", json!(when::rfc3339(at)));
        } else if self.never_expires {
            set("expiresAt", Value::Null);
        }
        if self.any_ip || !self.ip.is_empty() {
            set("ipAllowList", json!(self.ip));
        }
        if body.is_empty() {
            bail!("say what to change: see `keystile keys edit --help`");
        }
        Ok(Value::Object(body))
    }
}

/// A page of keys.
#[derive(Debug, Args)]
pub struct List {
    /// Only names that contain this
    #[arg(long)]
    name: Option<String>,
    /// Only this environment
    #[arg(long, value_enum)]
    env: Option<Environment>,
    /// Only this status
    #[arg(long, value_parser = ["active", "disabled", "revoked"])]
    status: Option<String>,
    /// Only keys that may use this app
    #[arg(long)]
    app: Option<String>,
    /// The order
    #[arg(long, value_parser = ["created_at", "-created_at", "name", "-name"], allow_hyphen_values = true)]
    sort: Option<String>,
    /// At most this many
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=200))]
    limit: Option<u32>,
    /// Where the page before ended
    #[arg(long)]
    cursor: Option<String>,
}

impl List {
    fn query(self) -> Vec<(&'static str, String)> {
        let environment = self.env.map(|environment| environment.as_str().to_owned());
        let limit = self.limit.map(|limit| limit.to_string());
        let parameters = [
            ("name", self.name),
            ("environment", environment),
            ("status", self.status),
            ("app", self.app),
            ("sort", self.sort),
            ("page_size", limit),
            ("cursor", self.cursor),
        ];
        parameters.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

pub(super) async fn run(command: Command, client: &Client, output: Output) -> anyhow::Result<()> {
    match command {
        Command::Create(create) => {
            let body = create.body(output.now)?;
            let answer = client.manage(Method::POST, &["keys"], &[], Some(&body)).await?;
            new_token(output, &answer, "created")
        }
        Command::List(list) => {
            let answer = client.manage(Method::GET, &["keys"], &list.query(), None).await?;
            output.show(&answer, |output| show::table(output, &answer))
        }
        Command::Show(Key { id }) => {
            let answer = client.manage(Method::GET, &["keys", &id], &[], None).await?;
            output.show(&answer, |output| Ok(show::text(output, &answer.read()?)))
        }
        Command::Rename { id, name } => patch(client, output, &id, json!({ "name": name })).await,
        Command::Describe { id, description } => {
            patch(client, output, &id, json!({ "description": description })).await
        }
        Command::Edit(edit) => patch(client, output, &edit.id, edit.body(output.now)?).await,
        Command::Grant(command) => grants::run(command, client, output).await,
        Command::Disable(Key { id }) => act(client, output, &id, "disable").await,
        Command::Enable(Key { id }) => act(client, output, &id, "enable").await,
        Command::Regenerate(Confirmed { id, yes }) => {
            confirm(&format!("Refuse every secret of {id} now and make a new one?"), yes)?;
            let path = ["keys", &id, "regenerate"];
            let answer = client.manage(Method::POST, &path, &[], None).await?;
            new_token(output, &answer, "regenerated")
        }
        Command::Rotate { id, overlap } => {
            let body = json!({ "overlapEndsAt": when::rfc3339(output.now + overlap) });
            let path = ["keys", &id, "rotate"];
            let answer = client.manage(Method::POST, &path, &[], Some(&body)).await?;
            new_token(output, &answer, "rotated")
        }
        Command::EndOverlap(Key { id }) => act(client, output, &id, "end-overlap").await,
        Command::Revoke(Confirmed { id, yes }) => {
            confirm(&format!("Revoke {id} for good?"), yes)?;
            act(client, output, &id, "revoke").await
        }
        Command::Delete(Confirmed { id, yes }) => {
            confirm(&format!("Revoke {id} for good and take it from the lists?"), yes)?;
            let answer = client.manage(Method::DELETE, &["keys", &id], &[], None).await?;
            output.outcome(&answer)
        }
    }
}

async fn act(client: &Client, output: Output, id: &str, verb: &str) -> anyhow::Result<()> {
    let answer = client.manage(Method::POST, &["keys", id, verb], &[], None).await?;
    output.outcome(&answer)
}

async fn patch(client: &Client, output: Output, id: &str, body: Value) -> anyhow::Result<()> {
    let answer = client.manage(Method::PATCH, &["keys", id], &[], Some(&body)).await?;
    output.outcome(&answer)
}

fn new_token(output: Output, answer: &Answer, verb: &str) -> anyhow::Result<()> {
    let text = |pointer: &str| answer.body.pointer(pointer).and_then(Value::as_str).unwrap_or("?");
    let outcome: super::output::Outcome = answer.read()?;
    let (id, name) = (text("/key/id"), super::output::plain(text("/key/name")));
    output.secret(answer, "The token", &format!("{verb} {id} ({name}): {}", outcome.line()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use time::macros::datetime;

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
        let create: Create = parse(
            "--name ci --env dev --app sandbox --connection conn_1 --component \
             action.sandbox.echo action.sandbox.add --expires-in 1h",
        );
        assert_eq!(
            create.body(datetime!(2026-01-01 12:00 UTC)).expect("a body"),
            json!({
                "name": "ci",
                "environment": "dev",
                "expiresAt": "2026-01-01T13:00:00Z",
                "connections": [{
                    "appKey": "sandbox",
                    "connectionId": "conn_1",
                    "allowedComponents": ["action.sandbox.echo", "action.sandbox.add"],
                }],
            })
        );
    }

    #[test]
    fn an_edit_changes_what_it_names_and_nothing_else() {
        let now = datetime!(2026-01-01 12:00 UTC);
        let edit: Edit = parse("key_1 --never-expires --any-ip");
        let all = json!({"expiresAt": null, "ipAllowList": []});
        assert_eq!(edit.body(now).expect("a body"), all);
        let edit: Edit = parse("key_1 --ip 192.0.2.0/24");
        let one = json!({"ipAllowList": ["192.0.2.0/24"]});
        assert_eq!(edit.body(now).expect("a body"), one);
        assert!(parse::<Edit>("key_1").body(now).is_err());
    }
}
