//! Grants: on a command line, and `keystile keys grant`.

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use keystile_domain::ComponentId;
use reqwest::Method;
use serde_json::{Value, json};

use crate::cli::{client::Client, output::Output};

/// What can be done with a key's grants.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Add or replace what a key may do with an app
    Put {
        /// `key_…`
        id: String,
        #[command(flatten)]
        grant: Grants,
    },
    /// Take away what a key may do with an app
    Remove {
        /// `key_…`
        id: String,
        /// The app
        app: String,
    },
}

/// What a key may do. The app of a component is part of its id.
#[derive(Debug, Args)]
pub struct Grants {
    /// The app; that of the components unless given
    #[arg(long)]
    app: Option<String>,
    /// The connected account, `conn_…`; `APP=conn_…` where the components are of several apps
    #[arg(long, value_name = "[APP=]ID", num_args = 1..)]
    connection: Vec<String>,
    /// What it may use, for example `action.sandbox.echo`
    #[arg(long, value_name = "ID", num_args = 1.., required = true)]
    component: Vec<String>,
}

impl Grants {
    /// One grant an app, in the order in which the apps are named first.
    pub(super) fn all(&self) -> anyhow::Result<Vec<Value>> {
        let mut apps: Vec<(String, Vec<&str>)> = Vec::new();
        for text in &self.component {
            let id: ComponentId = text.parse().with_context(|| format!("--component {text}"))?;
            if let Some(app) = self.app.as_deref().filter(|app| *app != id.app()) {
                bail!("--component {text} is not of the app {app}");
            }
            match apps.iter_mut().find(|(app, _)| app == id.app()) {
                Some((_, components)) => components.push(text),
                None => apps.push((id.app().to_owned(), vec![text])),
            }
        }
        let mut grants: Vec<Value> = apps
            .iter()
            .map(|(app, components)| json!({ "appKey": app, "allowedComponents": components }))
            .collect();
        for text in &self.connection {
            let (app, connection) = match text.split_once('=') {
                Some((app, connection)) => (app, connection),
                None if apps.len() == 1 => (apps[0].0.as_str(), text.as_str()),
                None => bail!("--connection {text}: say of which app, as in APP={text}"),
            };
            let Some(at) = apps.iter().position(|(known, _)| known == app) else {
                bail!("--connection {text}: no --component is of the app {app}");
            };
            grants[at]["connectionId"] = json!(connection);
        }
        Ok(grants)
    }
}

pub(super) async fn run(command: Command, client: &Client, output: Output) -> anyhow::Result<()> {
    let answer = match command {
        Command::Put { id, grant } => {
            let [grant] = grant.all()?.try_into().map_err(|_| {
                anyhow::anyhow!("put one app at a time: the components are of several")
            })?;
            let app = grant["appKey"].as_str().unwrap_or_default().to_owned();
            let mut body = grant;
            if let Some(members) = body.as_object_mut() {
                members.remove("appKey");
            }
            client.manage(Method::PUT, &["keys", &id, "apps", &app], &[], Some(&body)).await?
        }
        Command::Remove { id, app } => {
            client.manage(Method::DELETE, &["keys", &id, "apps", &app], &[], None).await?
        }
    };
    output.outcome(&answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(app: Option<&str>, connections: &[&str], components: &[&str]) -> Grants {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Grants {
            app: app.map(str::to_owned),
            connection: texts(connections),
            component: texts(components),
        }
    }

    #[test]
    fn components_of_several_apps_become_one_grant_each() {
        let components = ["action.a.x", "action.b.y", "action.a.z"];
        let all = grants(None, &["b=conn_2"], &components).all().expect("grants");
        assert_eq!(
            all,
            [
                json!({"appKey": "a", "allowedComponents": ["action.a.x", "action.a.z"]}),
                json!({
                    "appKey": "b", "allowedComponents": ["action.b.y"], "connectionId": "conn_2",
                }),
            ]
        );
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        for (app, connections, components) in [
            (Some("b"), &[][..], &["action.a.x"][..]),
            (None, &["conn_1"], &["action.a.x", "action.b.y"]),
            (None, &["c=conn_1"], &["action.a.x"]),
            (None, &[], &["nonsense"]),
        ] {
            assert!(grants(app, connections, components).all().is_err());
        }
    }
}
