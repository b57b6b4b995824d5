//! The console's REST API, as the commands use it.

use std::{fmt, path::Path, time::Duration};

use anyhow::{Context as _, bail};
use reqwest::{Method, Url, header::HeaderMap};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{Options, profile};

const DEFAULT_SERVER: &str = "http://127.0.0.1:8081";
/// Longer than the console may take, so that it is the console that says what happened.
const TIMEOUT: Duration = Duration::from_secs(75);

/// An answer: the API's own JSON.
pub(super) struct Answer {
    /// The whole body.
    pub(super) body: Value,
}

impl Answer {
    /// The body as a `T`.
    pub(super) fn read<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
        T::deserialize(&self.body).context("the server's answer is not one of this version's API")
    }
}

/// A way to the console.
pub(super) struct Client {
    http: reqwest::Client,
    server: Url,
    token: Option<SecretString>,
    operator_token: Option<SecretString>,
}

impl Client {
    pub(super) fn new(options: &Options, data_dir: &Path) -> anyhow::Result<Self> {
        let profile = profile::read(data_dir)?;
        let text = options.server.as_deref().or(profile.server.as_deref());
        let mut server: Url = text
            .unwrap_or(DEFAULT_SERVER)
            .parse()
            .context("--server must be a URL such as http://127.0.0.1:8081")?;
        if !server.path().ends_with('/') {
            server.set_path(&format!("{}/", server.path()));
        }
        // The profile's token belongs to the profile's server and goes nowhere else.
        let same = options.server.is_none() || options.server == profile.server;
        let stored = profile.token.filter(|_| same).map(|token| token.0);
        let operator_token = match &options.operator_token {
            Some(token) => Some(token.clone()),
            None if same => profile::operator_token(data_dir)?,
            None => None,
        };
        let mut http = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("keystile/", env!("CARGO_PKG_VERSION")));
        if is_loopback(&server) {
            http = http.no_proxy();
        }
        Ok(Self {
            http: http.build().context("cannot set up HTTP")?,
            server,
            token: options.token.clone().or(stored),
            operator_token,
        })
    }

    /// Calls `/api/manage/v1/…` with the management token.
    pub(super) async fn manage(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> anyhow::Result<Answer> {
        let Some(token) = &self.token else {
            bail!(
                "no management token: give --token, set KEYSTILE_CLI__TOKEN, or run this where \
                 `keystile dev` keeps its data directory"
            );
        };
        self.call("api/manage/v1", token, method, path, query, body).await
    }

    /// Calls `/api/operator/v1/…` with the operator token.
    pub(super) async fn operator(
        &self,
        method: Method,
        path: &[&str],
        body: Option<&Value>,
    ) -> anyhow::Result<Answer> {
        let Some(token) = &self.operator_token else {
            bail!(
                "no operator token: give --operator-token or set KEYSTILE_CLI__OPERATOR_TOKEN; an \
                 embedded installation keeps one in its data directory"
            );
        };
        self.call("api/operator/v1", token, method, path, &[], body).await
    }

    async fn call(
        &self,
        base: &str,
        token: &SecretString,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> anyhow::Result<Answer> {
        let mut url = self.server.join(base).context("--server cannot be extended by a path")?;
        // Segment by segment, so that an argument cannot change which resource is meant.
        url.path_segments_mut()
            .map_err(|()| anyhow::anyhow!("--server cannot be extended by a path"))?
            .extend(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self.http.request(method, url).bearer_auth(token.expose_secret());
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|cause| {
            let server = &self.server;
            let cause = cause.without_url();
            if cause.is_timeout() {
                anyhow::anyhow!("{server} did not answer in time; the outcome is unknown")
            } else {
                anyhow::Error::new(cause).context(format!(
                    "cannot reach {server}: is Keystile running there? Start it with `keystile \
                     dev`, or name another with --server"
                ))
            }
        })?;
        let status = response.status();
        let problem = is_problem(response.headers());
        let text = response.text().await.context("the answer broke off")?;
        if status.is_success() {
            let body = serde_json::from_str(&text).context("the answer is not JSON")?;
            return Ok(Answer { body });
        }
        if problem && let Ok(problem) = serde_json::from_str::<Problem>(&text) {
            return Err(problem.into());
        }
        bail!("{} answered {status}, which is not an answer of Keystile's API", self.server)
    }
}

fn is_loopback(server: &Url) -> bool {
    server.host_str().is_some_and(|host| {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost"
            || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    })
}

fn is_problem(headers: &HeaderMap) -> bool {
    headers
        .get(reqwest::header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|text| text.starts_with("application/problem+json"))
}

/// What the API refused, and why.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Problem {
    code: String,
    detail: String,
    #[serde(default)]
    errors: Vec<Fault>,
    required: Option<String>,
    held: Option<String>,
    key_id: Option<String>,
    operation_id: Option<String>,
    request_id: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Fault {
    pointer: String,
    detail: String,
}

impl Problem {
    /// What a person can do about it, where the detail does not say.
    fn fix(&self) -> Option<String> {
        let text = match self.code.as_str() {
            "invalid_token" | "token_revoked" | "token_expired" | "token_creator_left" => {
                "give another management token with --token or KEYSTILE_CLI__TOKEN".to_owned()
            }
            "permission_denied" => {
                let required = self.required.as_deref().unwrap_or("another permission");
                format!("use a token whose role has {required}; `keystile teams show` tells yours")
            }
            "role_too_high" => {
                format!("ask for at most {}", self.held.as_deref().unwrap_or("your own role"))
            }
            "not_found" => "check the id; the matching `list` command shows those there are".into(),
            "key_revoked" => "revoking is final: create another key".to_owned(),
            "integration_not_configured" => {
                "`keystile integrations check` asks the provider whether it knows the client".into()
            }
            "integration_in_use" => "`keystile connections list` shows them".to_owned(),
            "integration_changed" => {
                "see what it is now with `keystile integrations show`, then repeat".to_owned()
            }
            "rotation_in_progress" => "end the overlap first: keystile keys end-overlap".to_owned(),
            "operation_repeated" => {
                let key = self.key_id.as_deref().unwrap_or("the key");
                format!("the change was made before; see `keystile keys show {key}`")
            }
            "timeout" | "unavailable" => {
                let operation = self.operation_id.as_deref()?;
                format!("ask what became of it: keystile cuts show {operation}")
            }
            _ => return None,
        };
        Some(text)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.detail, self.code)?;
        for fault in &self.errors {
            let place = if fault.pointer.is_empty() { "/" } else { &fault.pointer };
            write!(f, "\n  {place}: {}", fault.detail)?;
        }
        if let Some(fix) = self.fix() {
            write!(f, "\n  fix: {fix}")?;
        }
        if let Some(request) = &self.request_id {
            write!(f, "\n  request: {request}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_problem_is_told_with_its_code_the_members_and_the_fix() {
        let problem: Problem = serde_json::from_value(json!({
            "type": "about:blank", "title": "Unprocessable Entity", "status": 422,
            "code": "invalid_request", "detail": "the request has invalid members",
            "errors": [{"pointer": "/connections/0/appKey", "detail": "is unknown"}],
            "requestId": "req_1",
        }))
        .expect("a problem");
        assert_eq!(
            problem.to_string(),
            "the request has invalid members (invalid_request)\n  \
             /connections/0/appKey: is unknown\n  request: req_1"
        );
        let problem: Problem = serde_json::from_value(json!({
            "code": "permission_denied", "detail": "needs the permission keys_write",
            "required": "keys_write",
        }))
        .expect("a problem");
        assert!(problem.to_string().contains("fix: use a token whose role has keys_write"));
    }

    #[test]
    fn an_argument_cannot_leave_its_segment() {
        let mut url: Url = "http://127.0.0.1:8081/base/api/manage/v1".parse().expect("a URL");
        url.path_segments_mut().expect("a base").extend(["keys", "../tokens?x=1"]);
        assert_eq!(url.path(), "/base/api/manage/v1/keys/..%2Ftokens%3Fx=1");
        assert_eq!(url.query(), None);
    }

    #[test]
    fn the_profiles_token_is_not_sent_to_another_server() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().expect("a folder");
        let text = "server = \"http://127.0.0.1:8081\"\ntoken = \"ksm_x\"\n";
        std::fs::write(folder.path().join("cli.toml"), text).expect("written");
        let token = |server: Option<&str>| {
            let options = Options { server: server.map(str::to_owned), ..Options::default() };
            Client::new(&options, folder.path()).expect("a client").token.is_some()
        };
        assert!(token(None));
        assert!(token(Some("http://127.0.0.1:8081")));
        assert!(!token(Some("http://elsewhere.example")));
    }
}
