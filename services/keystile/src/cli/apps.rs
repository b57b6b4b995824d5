//! `keystile apps`.

use clap::Subcommand;
use reqwest::Method;
use serde::Deserialize;

use super::{
    client::Client,
    connections,
    output::{self, Output},
};

/// What can be asked about apps.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List apps
    List,
    /// Show an app, how it is connected, and its components
    Show {
        /// The app, for example `sandbox`
        app: String,
    },
    /// Show which linked accounts can serve components of an app
    Connections {
        /// The app, for example `sandbox`
        app: String,
        /// What a key is to use, for example `action.sandbox.echo`
        #[arg(long, value_name = "ID", num_args = 1.., required = true)]
        component: Vec<String>,
        /// Where the page before ended
        #[arg(long)]
        cursor: Option<String>,
    },
}

#[derive(Debug, Deserialize)]
struct Page {
    items: Vec<App>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct App {
    key: String,
    name: String,
    auth_schemes: Vec<Scheme>,
    needs_connection: bool,
    component_count: usize,
    #[serde(default)]
    components: Vec<Component>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Scheme {
    r#type: String,
    #[serde(default)]
    fields: Vec<Field>,
    #[serde(default)]
    grant_types: Vec<String>,
    #[serde(default)]
    scopes: Vec<Scope>,
}

#[derive(Debug, Deserialize)]
struct Field {
    label: String,
}

#[derive(Debug, Deserialize)]
struct Scope {
    scope: String,
    description: String,
}

#[derive(Debug, Deserialize)]
struct Component {
    id: String,
    name: String,
    required: Vec<String>,
}

impl App {
    fn connects(&self) -> String {
        if !self.needs_connection {
            return "not needed".to_owned();
        }
        let schemes: Vec<_> =
            self.auth_schemes.iter().map(|scheme| scheme.r#type.as_str()).collect();
        schemes.join(", ")
    }

    /// What a client of OAuth or a person has to know of each way to connect.
    fn ways(&self) -> Vec<(&'static str, String)> {
        let mut facts = Vec::new();
        for scheme in self.auth_schemes.iter().filter(|_| self.needs_connection) {
            if !scheme.fields.is_empty() {
                let labels: Vec<_> = scheme.fields.iter().map(|own| own.label.as_str()).collect();
                facts.push(("fields", labels.join(", ")));
            }
            if !scheme.grant_types.is_empty() {
                facts.push(("grants", scheme.grant_types.join(", ")));
            }
            for (at, scope) in scheme.scopes.iter().enumerate() {
                let name = if at == 0 { "scopes" } else { "" };
                let Scope { scope, description } = scope;
                let told = if description.is_empty() { "" } else { ": " };
                facts.push((name, format!("{scope}{told}{description}")));
            }
        }
        facts
    }
}

pub(super) async fn run(command: Command, client: &Client, output: Output) -> anyhow::Result<()> {
    match command {
        Command::List => {
            let answer = client.manage(Method::GET, &["apps"], &[], None).await?;
            output.show(&answer, |_| {
                let page: Page = answer.read()?;
                let rows = page.items.into_iter().map(|app| {
                    let (connects, count) = (app.connects(), app.component_count.to_string());
                    [app.key, app.name, connects, count]
                });
                let header = ["APP", "NAME", "CONNECTS BY", "COMPONENTS"];
                Ok(output::table(header, rows.collect(), "no apps", None))
            })
        }
        Command::Show { app } => {
            let answer = client.manage(Method::GET, &["apps", &app], &[], None).await?;
            output.show(&answer, |_| {
                let app: App = answer.read()?;
                let mut facts = vec![
                    ("app", app.key.clone()),
                    ("name", app.name.clone()),
                    ("connects by", app.connects()),
                ];
                facts.extend(app.ways());
                let rows = app
                    .components
                    .into_iter()
                    .map(|component| [component.id, component.name, component.required.join(", ")]);
                let header = ["COMPONENT", "NAME", "REQUIRED INPUTS"];
                let table = output::table(header, rows.collect(), "no components", None);
                Ok(format!("{}\n\n{table}", output::facts(&facts)))
            })
        }
        Command::Connections { app, component, cursor } => {
            let components = component.into_iter().map(|id| ("component", id));
            let query: Vec<_> = components.chain(cursor.map(|at| ("cursor", at))).collect();
            let path = ["apps", &app, "connections"];
            let answer = client.manage(Method::GET, &path, &query, None).await?;
            output.show(&answer, |_| connections::show::matches(&answer))
        }
    }
}
