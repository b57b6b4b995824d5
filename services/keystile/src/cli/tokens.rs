//! `keystile tokens`.

use std::time::Duration;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::{
    client::Client,
    output::{self, Output},
    when,
};

/// What can be done with management tokens.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a management token; it is printed once
    Create(Create),
    /// List management tokens
    List {
        /// Where the page before ended
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Revoke a management token
    Revoke {
        /// `mtok_…`
        id: String,
    },
}

/// A token to make.
#[derive(Debug, Args)]
pub struct Create {
    /// What to call it
    #[arg(long)]
    name: String,
    /// The most it shall be worth; not above your own role
    #[arg(long, value_parser = ["viewer", "developer", "admin", "owner"])]
    role: String,
    /// When it stops by itself, from now
    #[arg(long, value_parser = when::span, value_name = "SPAN")]
    expires_in: Option<Duration>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    items: Vec<Token>,
    next_cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Token {
    id: String,
    name: String,
    role: String,
    created_at: String,
    expires_at: Option<String>,
    revoked_at: Option<String>,
}

impl Token {
    fn state(&self, output: Output) -> String {
        match (&self.revoked_at, &self.expires_at) {
            (Some(at), _) => format!("revoked {}", output.ago(at)),
            (None, Some(at)) if when::instant(at).is_ok_and(|end| end <= output.now) => {
                format!("expired {}", output.ago(at))
            }
            (None, Some(at)) => format!("expires {}", output.ago(at)),
            (None, None) => "active".to_owned(),
        }
    }
}

pub(super) async fn run(command: Command, client: &Client, output: Output) -> anyhow::Result<()> {
    match command {
        Command::Create(create) => {
            let expires_at = create.expires_in.map(|span| when::rfc3339(output.now + span));
            let body = json!({ "name": create.name, "role": create.role, "expiresAt": expires_at });
            let answer = client.manage(Method::POST, &["tokens"], &[], Some(&body)).await?;
            let token: Token = answer.read()?;
            let about = format!("created {} ({})", token.id, output::plain(&token.name));
            output.secret(&answer, "The management token", &about)
        }
        Command::List { cursor } => {
            let query: Vec<_> = cursor.into_iter().map(|cursor| ("cursor", cursor)).collect();
            let answer = client.manage(Method::GET, &["tokens"], &query, None).await?;
            output.show(&answer, |output| {
                let page: Page = answer.read()?;
                let rows = page.items.into_iter().map(|token| {
                    let (state, created) = (token.state(output), output.ago(&token.created_at));
                    [token.id, token.name, token.role, state, created]
                });
                Ok(output::table(
                    ["ID", "NAME", "ROLE", "STATE", "CREATED"],
                    rows.collect(),
                    "no management tokens",
                    page.next_cursor.as_deref(),
                ))
            })
        }
        Command::Revoke { id } => {
            let answer = client.manage(Method::DELETE, &["tokens", &id], &[], None).await?;
            output.show(&answer, |_| Ok(format!("revoked {}", answer.read::<Token>()?.id)))
        }
    }
}
