//! `keystile apps`.

use std::{fs, io, path::Path};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::{
    client::Client,
    connections,
    output::{self, Output, confirm},
};

/// What can be done with apps.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List apps
    List,
    /// Show an app, how it is connected, and its components
    Show {
        /// The app, for example `sandbox`
        app: String,
    },
    /// Add an app of the team's own, or its next version
    ///
    /// Any OpenAPI 3 document is an app: its operations are actions, its webhooks triggers. An app
    /// without security schemes needs no connection: that is how to protect one's own API.
    Add(Add),
    /// Remove an app of the team's own
    Remove {
        /// The app
        app: String,
        /// Take its components from the keys that hold them
        #[arg(long)]
        force: bool,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Print the document of an app of the team's own
    Document {
        /// The app
        app: String,
        /// An earlier version
        #[arg(long)]
        version: Option<u64>,
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

/// A document to add.
#[derive(Debug, Args)]
pub struct Add {
    /// YAML or JSON; `-` is standard input
    file: String,
    /// What to call it in component ids; without, the name of the file
    #[arg(long)]
    key: Option<String>,
    /// Take components that are gone from the keys that hold them
    #[arg(long)]
    force: bool,
    /// Only say what would be
    #[arg(long)]
    dry_run: bool,
}

impl Add {
    /// The key, from the file's name if none is given.
    fn key(&self) -> anyhow::Result<String> {
        if let Some(key) = &self.key {
            return Ok(key.clone());
        }
        let stem = Path::new(&self.file).file_stem().and_then(|stem| stem.to_str());
        let words = stem.unwrap_or_default().to_lowercase();
        let words = words.split(|c: char| !c.is_ascii_alphanumeric());
        let key = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-");
        if key.is_empty() {
            bail!("--key is required: the name of {} makes none", self.file);
        }
        Ok(key)
    }

    fn document(&self) -> anyhow::Result<String> {
        if self.file == "-" {
            return io::read_to_string(io::stdin()).context("cannot read standard input");
        }
        fs::read_to_string(&self.file).with_context(|| format!("cannot read {}", self.file))
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Added {
    app: OwnApp,
    stored: bool,
    report: Vec<ReportLine>,
    #[serde(rename = "added")]
    new: Vec<String>,
    #[serde(rename = "removed")]
    gone: Vec<String>,
    holder_count: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OwnApp {
    key: String,
    version: u64,
    name: String,
    component_count: u32,
}

#[derive(Debug, Deserialize)]
struct ReportLine {
    pointer: String,
    problem: String,
}

impl Added {
    fn text(&self, dry_run: bool) -> String {
        let OwnApp { key, version, name, component_count } = &self.app;
        let said = match (self.stored, dry_run) {
            (true, _) => format!("Added version {version} of {key} ({name})."),
            (false, true) => format!("Nothing was stored: this is a dry run of {key} ({name})."),
            (false, false) => format!("Version {version} of {key} is this document already."),
        };
        let mut lines = vec![output::plain(&said), format!("{component_count} components")];
        let signed = |sign: char| move |id: &String| format!("  {sign} {}", output::plain(id));
        lines.extend(self.new.iter().map(signed('+')));
        lines.extend(self.gone.iter().map(signed('-')));
        if self.holder_count > 0 {
            let verb = if dry_run { "hold" } else { "held" };
            lines.push(format!("{} keys {verb} some of what is gone", self.holder_count));
        }
        if !self.report.is_empty() {
            let count = self.report.len();
            lines.push(format!("\n{count} lines of the document could not be mapped:"));
            let told = |line: &ReportLine| format!("{}: {}", line.pointer, line.problem);
            let told = self.report.iter().map(told);
            lines.extend(told.map(|line| format!("  {}", output::plain(&line))));
        }
        lines.join("\n")
    }
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
        Command::Add(add) => {
            let body = json!({
                "key": add.key()?,
                "document": add.document()?,
                "force": add.force,
                "dryRun": add.dry_run,
            });
            let answer = client.manage(Method::POST, &["apps"], &[], Some(&body)).await?;
            output.show(&answer, |_| Ok(answer.read::<Added>()?.text(add.dry_run)))
        }
        Command::Remove { app, force, yes } => {
            confirm(&format!("Remove the app {app}?"), yes)?;
            let query = if force { vec![("force", "true".to_owned())] } else { Vec::new() };
            let answer = client.manage(Method::DELETE, &["apps", &app], &query, None).await?;
            output.show(&answer, |_| Ok(output::plain(&format!("Removed {app}."))))
        }
        Command::Document { app, version } => {
            let query: Vec<_> =
                version.map(|version| ("version", version.to_string())).into_iter().collect();
            let path = ["apps", &app, "document"];
            let answer = client.manage(Method::GET, &path, &query, None).await?;
            output.show(&answer, |_| {
                #[derive(Deserialize)]
                struct Shown {
                    document: String,
                }
                Ok(answer.read::<Shown>()?.document)
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
