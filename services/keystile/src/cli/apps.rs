//! `keystile apps`.

use clap::Subcommand;
use reqwest::Method;
use serde::Deserialize;

use super::{
    client::Client,
    output::{self, Output},
};

/// What can be asked about apps.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List apps
    List,
    /// Show an app and its components
    Show {
        /// The app, for example `sandbox`
        app: String,
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
struct Scheme {
    r#type: String,
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
                let facts = [
                    ("app", app.key.clone()),
                    ("name", app.name.clone()),
                    ("connects by", app.connects()),
                ];
                let rows = app
                    .components
                    .into_iter()
                    .map(|component| [component.id, component.name, component.required.join(", ")]);
                let header = ["COMPONENT", "NAME", "REQUIRED INPUTS"];
                let table = output::table(header, rows.collect(), "no components", None);
                Ok(format!("{}\n\n{table}", output::facts(&facts)))
            })
        }
    }
}
