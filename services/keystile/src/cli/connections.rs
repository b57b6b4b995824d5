//! `keystile connections`.

use std::{fs, io, io::Read as _, path::Path};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    client::Client,
    output::{self, Output, confirm},
};

/// What can be done with connections.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Link an account; the credential is read from a file or from standard input
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

/// An account to link. A credential on the command line would be seen by every process of this
/// machine, so it comes from a file; `-` is standard input.
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
#[expect(clippy::struct_field_names, reason = "each is named as its option")]
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
}

impl Credential {
    fn read(&self, username: Option<&str>) -> anyhow::Result<Value> {
        if let Some(file) = &self.bearer_file {
            return Ok(json!({ "bearerToken": secret(file)? }));
        }
        if let Some(file) = &self.api_key_file {
            return Ok(json!({ "apiKey": secret(file)? }));
        }
        match (username, &self.password_file) {
            (Some(username), Some(file)) => {
                Ok(json!({ "basic": { "username": username, "password": secret(file)? } }))
            }
            _ => bail!("a credential is required"),
        }
    }
}

/// The text of a file without its line end.
fn secret(file: &str) -> anyhow::Result<String> {
    let mut text = String::new();
    if file == "-" {
        io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
    } else {
        text =
            fs::read_to_string(Path::new(file)).with_context(|| format!("cannot read {file}"))?;
    }
    let text = text.trim_end_matches(['\n', '\r']);
    if text.is_empty() {
        bail!("{file} is empty");
    }
    Ok(text.to_owned())
}

fn variables(given: &[String]) -> anyhow::Result<Value> {
    let mut variables = Map::new();
    for text in given {
        let Some((name, value)) = text.split_once('=') else {
            bail!("--variable {text}: expected NAME=VALUE");
        };
        variables.insert(name.to_owned(), json!(value));
    }
    Ok(Value::Object(variables))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    items: Vec<Connection>,
    next_cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Connection {
    id: String,
    app_key: String,
    name: String,
    status: String,
    status_reason: Option<String>,
    auth_scheme: String,
    created_at: String,
    last_used_at: Option<String>,
}

impl Connection {
    fn status(&self) -> String {
        match &self.status_reason {
            Some(reason) => format!("{}: {reason}", self.status),
            None => self.status.clone(),
        }
    }

    fn used(&self, output: Output) -> String {
        self.last_used_at.as_deref().map_or_else(|| "never".to_owned(), |at| output.ago(at))
    }

    fn text(&self, output: Output) -> String {
        output::facts(&[
            ("id", self.id.clone()),
            ("app", self.app_key.clone()),
            ("name", self.name.clone()),
            ("status", self.status()),
            ("signs in by", self.auth_scheme.clone()),
            ("created", output.ago(&self.created_at)),
            ("last used", self.used(output)),
        ])
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
            output.show(&answer, |output| Ok(answer.read::<Connection>()?.text(output)))
        }
        Command::List { app, cursor } => {
            let query = [("app", app), ("cursor", cursor)];
            let query: Vec<_> =
                query.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
            let answer = client.manage(Method::GET, &["connections"], &query, None).await?;
            output.show(&answer, |output| {
                let page: Page = answer.read()?;
                let rows = page.items.into_iter().map(|connection| {
                    let (status, used) = (connection.status(), connection.used(output));
                    let created = output.ago(&connection.created_at);
                    [connection.id, connection.name, connection.app_key, status, used, created]
                });
                Ok(output::table(
                    ["ID", "NAME", "APP", "STATUS", "LAST USED", "CREATED"],
                    rows.collect(),
                    "no connections",
                    page.next_cursor.as_deref(),
                ))
            })
        }
        Command::Show { id } => {
            let answer = client.manage(Method::GET, &["connections", &id], &[], None).await?;
            output.show(&answer, |output| Ok(answer.read::<Connection>()?.text(output)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_a_files_text_without_its_line_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        fs::write(&path, " s3cret \r\n").expect("written");
        let file = path.display().to_string();
        assert_eq!(secret(&file).expect("reads"), " s3cret ");
        fs::write(&path, "\n").expect("written");
        assert!(secret(&file).is_err());
        assert!(secret("/nonexistent/file").is_err());
    }

    #[test]
    fn a_variable_is_a_name_and_a_value() {
        let given = ["shop=acme=1".to_owned()];
        assert_eq!(variables(&given).expect("reads"), json!({ "shop": "acme=1" }));
        assert!(variables(&["shop".to_owned()]).is_err());
    }
}
