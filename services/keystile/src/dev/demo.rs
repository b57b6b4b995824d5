//! The demo team and what it has, made once through the same API that everybody uses.

use std::{fmt::Write as _, net::SocketAddr, time::Duration};

use anyhow::{Context as _, bail};
use keystile_domain::{Role, base62, entropy};
use keystile_runtime::{DataDir, SystemEntropy};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use crate::{advice::Advice, wire::Running};

/// Where the demo stands, for shells to read.
pub(super) const FILE: &str = "demo.env";
/// Where the resource commands look for a server and a token.
pub(super) const PROFILE: &str = "cli.toml";

const EMAIL: &str = "demo@keystile.localhost";
const TEAM: &str = "Demo";
/// What the demo key may do. Deleting is left out, so that there is something to be refused.
const ALLOWED: [&str; 3] =
    ["action.sandbox.list-notes", "action.sandbox.create-note", "action.sandbox.echo"];
const TIMEOUT: Duration = Duration::from_secs(30);

/// What an earlier run made, or this one.
#[derive(Debug, Clone, Default)]
pub struct Demo {
    /// The demo key's token.
    pub token: Option<SecretString>,
    /// A management token of the demo team.
    pub management_token: Option<SecretString>,
    /// Opens the sandbox account of the demo's connection.
    pub sandbox_token: Option<SecretString>,
    /// The owner's password.
    pub password: Option<SecretString>,
    connection: Option<String>,
}

/// The variables of the file, each with its place.
const VARIABLES: [&str; 6] = [
    "KEYSTILE_DEMO_TOKEN",
    "KEYSTILE_DEMO_MANAGEMENT_TOKEN",
    "KEYSTILE_DEMO_SANDBOX_TOKEN",
    "KEYSTILE_DEMO_EMAIL",
    "KEYSTILE_DEMO_PASSWORD",
    "KEYSTILE_DEMO_CONNECTION",
];

impl Demo {
    fn read(dir: &DataDir) -> anyhow::Result<Self> {
        let text = dir.read_private(FILE)?.unwrap_or_default();
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            line.map(|value| value.trim_matches('\'').to_owned()).filter(|value| !value.is_empty())
        };
        let secret = |name| value(name).map(SecretString::from);
        let [token, management_token, sandbox_token, _email, password, connection] = VARIABLES;
        Ok(Self {
            token: secret(token),
            management_token: secret(management_token),
            sandbox_token: secret(sandbox_token),
            password: secret(password),
            connection: value(connection),
        })
    }

    /// Written after each step, so that a start that was cut off goes on where it was.
    fn write(&self, dir: &DataDir) -> anyhow::Result<()> {
        let secret = |value: &Option<SecretString>| {
            value.as_ref().map(|value| value.expose_secret().to_owned())
        };
        let values = [
            secret(&self.token),
            secret(&self.management_token),
            secret(&self.sandbox_token),
            Some(EMAIL.to_owned()),
            secret(&self.password),
            self.connection.clone(),
        ];
        let mut text =
            String::from("# The demo of `keystile dev`. Deleted by `keystile dev --reset`.\n");
        for (name, value) in VARIABLES.into_iter().zip(values) {
            if let Some(value) = value {
                // Nothing here has a quote: tokens are base62, ids too.
                writeln!(text, "{name}='{value}'")?;
            }
        }
        Ok(dir.write_private(FILE, &text)?)
    }
}

/// Reads the demo and makes what is missing of it.
pub(super) async fn prepare(running: &Running) -> anyhow::Result<Demo> {
    let dir = running.data_dir()?;
    let mut demo = Demo::read(dir)?;
    let management_token = if let Some(token) = demo.management_token.clone() {
        token
    } else {
        let made = running.console()?.bootstrap(EMAIL, TEAM).await.map_err(|error| {
            let lost = matches!(error, keystile_console::Error::EmailTaken);
            let error = anyhow::Error::new(error).context("cannot make the demo team");
            if !lost {
                return error;
            }
            let message = format!("the demo team exists, but {FILE} with its tokens is gone");
            Advice::new(message, "start over with keystile dev --reset").into()
        })?;
        demo.password = Some(made.password);
        demo.management_token = Some(made.token.clone());
        demo.write(dir)?;
        made.token
    };
    let server = running.addresses().of(Role::Console)?;
    let api = Api { http: client()?, server, token: management_token };
    if demo.connection.is_none() {
        let sandbox_token = sandbox_token();
        let made = api
            .post(
                "connections",
                &json!({
                    "appKey": "sandbox",
                    "name": "Sandbox account of the demo",
                    "credential": { "bearerToken": sandbox_token.expose_secret() },
                }),
            )
            .await
            .context("cannot connect the sandbox")?;
        demo.connection = Some(text(&made, "/id")?);
        demo.sandbox_token = Some(sandbox_token);
        demo.write(dir)?;
    }
    if demo.token.is_none() {
        let made = api
            .post(
                "keys",
                &json!({
                    "name": "Demo key",
                    "description": "Made by keystile dev",
                    "environment": "dev",
                    "connections": [{
                        "appKey": "sandbox",
                        "connectionId": demo.connection,
                        "allowedComponents": ALLOWED,
                    }],
                }),
            )
            .await
            .context("cannot make the demo key")?;
        demo.token = Some(text(&made, "/token")?.into());
        demo.write(dir)?;
    }
    write_profile(dir, server, &api.token)?;
    Ok(demo)
}

/// The port can be another one at each start, so this is written at each.
fn write_profile(dir: &DataDir, server: SocketAddr, token: &SecretString) -> anyhow::Result<()> {
    let token = token.expose_secret();
    let text = format!("server = \"http://{server}\"\ntoken = \"{token}\"\n");
    if dir.read_private(PROFILE)?.is_none_or(|written| written != text) {
        dir.write_private(PROFILE, &text)?;
    }
    Ok(())
}

fn sandbox_token() -> SecretString {
    let digits = base62::encode::<16, 22>(&entropy::bytes(&SystemEntropy));
    let digits = digits.into_iter().map(char::from);
    "sandbox_demo_".chars().chain(digits).collect::<String>().into()
}

fn client() -> anyhow::Result<reqwest::Client> {
    // The console is in this process: no proxy stands before it.
    Ok(reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build()?)
}

struct Api {
    http: reqwest::Client,
    server: SocketAddr,
    token: SecretString,
}

impl Api {
    async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let url = format!("http://{}/api/manage/v1/{path}", self.server);
        let request = self.http.post(url).bearer_auth(self.token.expose_secret()).json(body);
        let response = request.send().await.map_err(reqwest::Error::without_url)?;
        let status = response.status();
        let answer: Value = response.json().await.map_err(reqwest::Error::without_url)?;
        if !status.is_success() {
            let told = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
            let message = format!("{} ({status}, {})", told("detail"), told("code"));
            if status == reqwest::StatusCode::UNAUTHORIZED {
                let hint = "the demo of this data directory was changed: keystile dev --reset";
                return Err(Advice::new(message, hint).into());
            }
            bail!("{message}");
        }
        Ok(answer)
    }
}

fn text(answer: &Value, pointer: &str) -> anyhow::Result<String> {
    let found = answer.pointer(pointer).and_then(Value::as_str);
    found.map(str::to_owned).with_context(|| format!("the answer has no {pointer}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_demo_reads_back_as_it_was_written_and_is_private() {
        use std::os::unix::fs::PermissionsExt as _;

        let home = tempfile::tempdir().expect("a directory");
        let dir = DataDir::open(home.path().join("data")).expect("opens");
        assert!(Demo::read(&dir).expect("reads").token.is_none());
        let demo = Demo {
            token: Some("ks_dev_x".to_owned().into()),
            password: Some("a b".to_owned().into()),
            ..Demo::default()
        };
        demo.write(&dir).expect("writes");
        let read = Demo::read(&dir).expect("reads");
        assert_eq!(read.token.expect("set").expose_secret(), "ks_dev_x");
        assert_eq!(read.password.expect("set").expose_secret(), "a b");
        assert!(read.management_token.is_none() && read.connection.is_none());
        let mode = std::fs::metadata(dir.path().join(FILE)).expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!format!("{demo:?}").contains("ks_dev_x"));
    }
}
