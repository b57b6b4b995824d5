//! `keystile teams`.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use super::{
    client::Client,
    output::{self, Outcome, Output, confirm},
};

/// What can be done with teams.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the team of the management token
    Show,
    /// Set what a team is entitled to (operator)
    SetPlan(SetPlan),
    /// Stop every key of a team (operator)
    Suspend {
        /// `team_…`
        id: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// Let the keys of a suspended team work again (operator)
    Resume {
        /// `team_…`
        id: String,
    },
}

/// A plan; what is absent is unlimited.
#[derive(Debug, Args)]
pub struct SetPlan {
    /// `team_…`
    id: String,
    /// What to call it
    #[arg(long)]
    name: String,
    /// Keys can be neither made nor used
    #[arg(long)]
    no_api_access: bool,
    /// Keys that are neither revoked nor deleted, at most
    #[arg(long, value_name = "N")]
    max_keys: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Team {
    id: String,
    name: String,
    status: String,
    plan: Plan,
    key_count: u32,
    role: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Plan {
    name: String,
    api_access: bool,
    max_keys: Option<u32>,
    monthly_requests: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Changed {
    team: Team,
}

impl Team {
    fn text(&self) -> String {
        let or_unlimited = |limit: Option<String>| limit.unwrap_or_else(|| "unlimited".to_owned());
        let access = if self.plan.api_access { "yes" } else { "no" };
        let mut facts = vec![
            ("id", self.id.clone()),
            ("name", self.name.clone()),
            ("status", self.status.clone()),
            ("plan", self.plan.name.clone()),
            ("API access", access.to_owned()),
            ("keys", self.key_count.to_string()),
            ("keys at most", or_unlimited(self.plan.max_keys.map(|count| count.to_string()))),
            (
                "requests a month",
                or_unlimited(self.plan.monthly_requests.map(|count| count.to_string())),
            ),
        ];
        if let Some(role) = &self.role {
            facts.push(("this token is", role.clone()));
        }
        output::facts(&facts)
    }
}

pub(super) async fn run(command: Command, client: &Client, output: Output) -> anyhow::Result<()> {
    let answer = match command {
        Command::Show => {
            let answer = client.manage(Method::GET, &["team"], &[], None).await?;
            return output.show(&answer, |_| Ok(answer.read::<Team>()?.text()));
        }
        Command::SetPlan(plan) => {
            let body = json!({
                "name": plan.name,
                "apiAccess": !plan.no_api_access,
                "maxKeys": plan.max_keys,
            });
            client.operator(Method::PUT, &["teams", &plan.id, "plan"], Some(&body)).await?
        }
        Command::Suspend { id, yes } => {
            confirm(&format!("Stop every key of {id}?"), yes)?;
            client.operator(Method::POST, &["teams", &id, "suspend"], None).await?
        }
        Command::Resume { id } => {
            client.operator(Method::POST, &["teams", &id, "resume"], None).await?
        }
    };
    output.show(&answer, |_| {
        let team = answer.read::<Changed>()?.team.text();
        Ok(format!("{team}\n{}", answer.read::<Outcome>()?.line()))
    })
}
