//! Commands for people and programs that speak only the console's REST API.
//!
//! Never: opens a database or calls a service. What these commands can do, any HTTP client can.

mod apps;
mod audit;
mod client;
mod connections;
mod cuts;
mod input;
mod integrations;
mod keys;
mod output;
mod profile;
pub mod secrets;
mod teams;
mod tokens;
mod when;

use std::path::Path;

use clap::{Args, Subcommand};
use secrecy::SecretString;

use self::{client::Client, output::Output};

/// How to reach the console.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Connection")]
pub struct Options {
    /// The console's address; else the profile that `keystile dev` wrote, else `http://127.0.0.1:8081`
    #[arg(long, global = true, env = "KEYSTILE_CLI__SERVER", value_name = "URL")]
    pub server: Option<String>,
    /// A management token, `ksm_…`; else that of the profile
    #[arg(long, global = true, env = "KEYSTILE_CLI__TOKEN", hide_env_values = true)]
    pub token: Option<SecretString>,
    /// For operator commands; else the one that was generated into the data directory
    #[arg(long, global = true, env = "KEYSTILE_CLI__OPERATOR_TOKEN", hide_env_values = true)]
    pub operator_token: Option<SecretString>,
    /// Print the API's JSON
    #[arg(long, global = true)]
    pub json: bool,
}

/// What can be done through the console.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Keys: create, scope, rotate, revoke
    #[command(subcommand)]
    Keys(keys::Command),
    /// Apps and the components that a key can be given
    #[command(subcommand)]
    Apps(apps::Command),
    /// Linked accounts
    #[command(subcommand)]
    Connections(connections::Command),
    /// Your own OAuth clients, and connecting accounts through them
    #[command(subcommand)]
    Integrations(integrations::Command),
    /// The team; and, for the operator, plans and suspension
    #[command(subcommand)]
    Teams(teams::Command),
    /// Management tokens
    #[command(subcommand)]
    Tokens(tokens::Command),
    /// What changed, newest first
    Audit(audit::Arguments),
    /// Changes that were answered as pending
    #[command(subcommand)]
    Cuts(cuts::Command),
}

/// Runs a command. `data_dir` is where `keystile dev` leaves its profile.
///
/// # Errors
/// What the API refused, with its code, the members at fault and what would help; or that the
/// console cannot be reached.
pub async fn run(command: Command, options: Options, data_dir: &Path) -> anyhow::Result<()> {
    let output = Output { json: options.json, now: when::now() };
    let client = Client::new(&options, data_dir)?;
    match command {
        Command::Keys(command) => keys::run(command, &client, output).await,
        Command::Apps(command) => apps::run(command, &client, output).await,
        Command::Connections(command) => connections::run(command, &client, output).await,
        Command::Integrations(command) => integrations::run(command, &client, output).await,
        Command::Teams(command) => teams::run(command, &client, output).await,
        Command::Tokens(command) => tokens::run(command, &client, output).await,
        Command::Audit(arguments) => audit::run(arguments, &client, output).await,
        Command::Cuts(command) => cuts::run(command, &client, output).await,
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    struct Root {
        #[command(flatten)]
        options: Options,
        #[command(subcommand)]
        command: Command,
    }

    fn parse(line: &str) -> Result<Root, clap::Error> {
        Root::try_parse_from(std::iter::once("keystile").chain(line.split(' ')))
    }

    #[test]
    fn the_commands_are_well_formed() {
        Root::command().debug_assert();
    }

    #[test]
    fn every_documented_line_parses() {
        for line in [
            "keys create --name ci --env dev --component action.sandbox.echo",
            "keys create --name ci --env dev --app sandbox --connection conn_1 --component \
             action.sandbox.echo action.sandbox.add --expires-in 30d --ip 10.0.0.0/8",
            "keys list --env prod --status active --app gmail --sort name --json",
            "keys show key_1",
            "keys rename key_1 other",
            "keys describe key_1 text",
            "keys edit key_1 --never-expires --any-ip",
            "keys grant put key_1 --component action.sandbox.echo --connection conn_1",
            "keys grant remove key_1 sandbox",
            "keys disable key_1",
            "keys enable key_1",
            "keys regenerate key_1 --yes",
            "keys rotate key_1 --overlap 24h",
            "keys end-overlap key_1",
            "keys revoke key_1 --yes",
            "keys delete key_1 -y",
            "apps list",
            "apps show sandbox",
            "connections create --app sandbox --name demo --bearer-file token.txt",
            "connections create --app sandbox --name demo --bearer-file -",
            "connections create --app x --name demo --username ada --password-file -",
            "connections create --app x --name d --api-key-file f --variable shop=acme",
            "connections create --app x --name d --field key=f site=-",
            "connections create --app x --name d --field key=f --field site=g",
            "connections create --app x --name d --integration int_1",
            "connections list --app sandbox",
            "connections test conn_1",
            "connections delete conn_1 --yes",
            "apps connections sandbox --component action.sandbox.echo action.sandbox.add",
            "integrations create --app slack --name ours --client-id c --client-secret-file -",
            "integrations create --app x --name ours --client-id c --grant client_credentials \
             --client-secret-file f --scope a b --return-url https://a.example/",
            "integrations list --app slack",
            "integrations show int_1",
            "integrations update int_1 --name n --client-id c --client-secret-file f --version 3",
            "integrations update int_1 --no-client-secret --default-scopes --no-return-urls",
            "integrations check int_1",
            "integrations disable int_1 --yes",
            "integrations enable int_1",
            "integrations delete int_1 -y",
            "integrations connect int_1 --name Ada --variable shop=acme",
            "integrations connect int_1 --connection conn_1 --return-url https://a.example/",
            "teams show",
            "teams set-plan team_1 --name small --max-keys 5",
            "teams set-plan team_1 --name none --no-api-access --operator-token x",
            "teams suspend team_1 --yes",
            "teams resume team_1",
            "tokens create --name ci --role developer --expires-in 90d",
            "tokens list",
            "tokens revoke mtok_1",
            "audit --subject key_1 --limit 10",
            "cuts show op_1",
            "--server http://127.0.0.1:1 --token t keys list",
        ] {
            let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(parse(&line).is_ok(), "{line}: {}", parse(&line).expect_err("refused"));
        }
    }

    #[test]
    fn what_cannot_be_meant_is_a_usage_error() {
        for line in [
            "keys",
            "keys create --env dev --component action.sandbox.echo",
            "keys create --name ci --env qa --component action.sandbox.echo",
            "keys create --name ci --env dev",
            "keys create --name ci --env dev --component a --expires-in 30d --expires-at x",
            "connections create --app sandbox --name demo",
            "connections create --app sandbox --name demo --bearer-token secret",
            "connections create --app s --name d --bearer-file a --api-key-file b",
            "connections create --app s --name d --field a=b --integration int_1",
            "apps connections sandbox",
            "integrations create --app s --name d --client-id c --client-secret s3cret",
            "integrations create --app s --name d --client-id c --grant password",
            "integrations update int_1 --client-secret-file f --no-client-secret",
            "integrations update int_1 --scope a --default-scopes",
            "integrations update int_1 --version 0 --name n",
            "integrations connect int_1",
            "integrations connect int_1 --name a --connection conn_1",
            "integrations connect int_1 --connection conn_1 --variable a=b",
            "tokens create --name ci --role king",
        ] {
            let refused = parse(line).expect_err(line);
            assert_eq!(refused.exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn a_token_is_not_shown_when_options_are() {
        let root = parse("--token ksm_secret --operator-token op_secret team").err();
        assert!(root.is_some());
        let root =
            parse("--token ksm_secret --operator-token op_secret apps list").expect("parses");
        assert!(!format!("{root:?}").contains("_secret"));
    }
}
