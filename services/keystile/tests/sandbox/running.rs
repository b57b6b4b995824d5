//! A sandbox on a port of its own, and a client of its authorization server that follows the RFCs
//! and nothing of its code.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use keystile::sandbox::{self, Options, Server};
use keystile_runtime::Drain;
use keystile_testkit::MockClock;
use reqwest::{Client as Http, Method, RequestBuilder, Response, StatusCode, redirect};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use url::Url;

/// The example of RFC 7636, appendix B.
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

pub(crate) const CALLBACK: &str = "http://127.0.0.1:8080/connect/callback/int_1?kept=1";
pub(crate) const STATE: &str = "state \"with\" <marks> & more";

pub(crate) struct Running {
    pub(crate) base: Url,
    pub(crate) http: Http,
    pub(crate) server: Server,
    pub(crate) clock: MockClock,
    drain: Drain,
}

/// What a client got at its registration.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) id: String,
    pub(crate) secret: String,
}

pub(crate) type Pairs = BTreeMap<String, String>;

impl Running {
    pub(crate) async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("bound");
        let base: Url = format!("http://{addr}").parse().expect("a URL");
        let clock = MockClock::default();
        let options = Options { clock: Arc::new(clock.clone()), ..Options::default() };
        let server = Server::new(&base, options);
        let drain = Drain::new();
        drain.spawn(sandbox::serve(listener, server.router(), drain.clone()));
        let http = Http::builder().redirect(redirect::Policy::none()).build().expect("a client");
        Self { base, http, server, clock, drain }
    }

    pub(crate) fn issuer(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, self.base.join(path).expect("a path"))
    }

    pub(crate) async fn ask(
        &self,
        authorization: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let mut request = self.request(method, path).header("Authorization", authorization);
        if let Some(body) = body {
            request = request.json(&body);
        }
        read(request.send().await.expect("answers")).await
    }

    /// The account that an access token opens, or the code of the problem.
    pub(crate) async fn opens(&self, token: &str) -> String {
        let (_, answer) = self.ask(&format!("Bearer {token}"), Method::GET, "/me", None).await;
        let told = answer["account"].as_str().or(answer["code"].as_str());
        told.expect("an account or a code").to_owned()
    }

    pub(crate) async fn register(&self) -> Client {
        let metadata = json!({"client_name": "Keystile", "redirect_uris": [CALLBACK]});
        let request = self.request(Method::POST, "/oauth/register").json(&metadata);
        let (status, answer) = read(request.send().await.expect("answers")).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        Client { id: text(&answer, "client_id"), secret: text(&answer, "client_secret") }
    }

    /// The page that a person sees.
    pub(crate) async fn page(&self, asked: &Pairs) -> Response {
        self.page_of(asked).await
    }

    /// The same for a request that can name a parameter more than once.
    pub(crate) async fn page_of<'a>(
        &self,
        asked: impl IntoIterator<Item = (&'a String, &'a String)>,
    ) -> Response {
        let mut url = self.base.join("/oauth/authorize").expect("a path");
        url.query_pairs_mut().extend_pairs(asked);
        self.http.get(url).send().await.expect("answers")
    }

    /// What the browser sends when the person presses a button on the page.
    pub(crate) async fn press(&self, page: Response, decision: &str, account: &str) -> Response {
        assert_eq!(page.status(), StatusCode::OK);
        let mut form = fields(&page.text().await.expect("a page"));
        form.insert("decision".to_owned(), decision.to_owned());
        form.insert("account".to_owned(), account.to_owned());
        let request = self.request(Method::POST, "/oauth/authorize").form(&form);
        request.header("Sec-Fetch-Site", "same-origin").send().await.expect("answers")
    }

    /// A code for what the owner of `account` allowed.
    pub(crate) async fn code(&self, client: &Client, account: &str, scope: &str) -> String {
        let page = self.page(&with(&asked(client), &[("scope", scope)])).await;
        way_back(&self.press(page, "allow", account).await)["code"].clone()
    }

    /// An answer of the token endpoint.
    pub(crate) async fn token(
        &self,
        client: &Client,
        form: &[(&str, &str)],
    ) -> (StatusCode, Value) {
        let request = self.request(Method::POST, "/oauth/token");
        let request = request.basic_auth(&client.id, Some(&client.secret)).form(form);
        read(request.send().await.expect("answers")).await
    }

    pub(crate) async fn redeem(&self, client: &Client, code: &str) -> (StatusCode, Value) {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ];
        self.token(client, &form).await
    }

    pub(crate) async fn refresh(&self, client: &Client, token: &str) -> (StatusCode, Value) {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
        self.token(client, &form).await
    }

    /// An access token and a refresh token.
    pub(crate) async fn tokens(
        &self,
        client: &Client,
        account: &str,
        scope: &str,
    ) -> (String, String) {
        let code = self.code(client, account, scope).await;
        both(&self.redeem(client, &code).await)
    }

    pub(crate) async fn stop(self) {
        drop(self.http);
        self.drain.stop(Duration::from_secs(5), std::future::pending()).await;
    }
}

/// A right authorization request.
pub(crate) fn asked(client: &Client) -> Pairs {
    let pairs = [
        ("response_type", "code"),
        ("client_id", &client.id),
        ("redirect_uri", CALLBACK),
        ("scope", "notes.read notes.write"),
        ("state", STATE),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

pub(crate) fn with(pairs: &Pairs, changed: &[(&str, &str)]) -> Pairs {
    let changed = changed.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    pairs.clone().into_iter().chain(changed).collect()
}

/// The parameters that a redirect takes to the client, which must be the registered address.
pub(crate) fn way_back(response: &Response) -> Pairs {
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    let location = response.headers()["Location"].to_str().expect("printable");
    assert!(location.starts_with(&format!("{CALLBACK}&")), "{location}");
    let location = Url::parse(location).expect("a URL");
    location.query_pairs().into_owned().collect()
}

/// The form's fields, hidden or not, as a browser reads them.
fn fields(page: &str) -> Pairs {
    let attribute = |tag: &str, name: &str| {
        let (_, rest) = tag.split_once(&format!("{name}=\""))?;
        let (value, _) = rest.split_once('"')?;
        let plain = value.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
        Some(plain.replace("&#39;", "'").replace("&amp;", "&"))
    };
    let inputs = page.split("<input ").skip(1).filter_map(|rest| rest.split_once('>'));
    let named = inputs.filter_map(|(tag, _)| Some((attribute(tag, "name")?, tag)));
    named.filter_map(|(name, tag)| Some((name, attribute(tag, "value")?))).collect()
}

pub(crate) async fn read(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let text = response.text().await.expect("a body");
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

pub(crate) fn text(answer: &Value, name: &str) -> String {
    answer[name].as_str().unwrap_or_else(|| panic!("no {name}: {answer}")).to_owned()
}

/// The access token and the refresh token of a good answer.
pub(crate) fn both((status, answer): &(StatusCode, Value)) -> (String, String) {
    assert_eq!(*status, StatusCode::OK, "{answer}");
    (text(answer, "access_token"), text(answer, "refresh_token"))
}

/// Holds an answer against RFC 6749 §5.2.
pub(crate) fn assert_error((status, answer): &(StatusCode, Value), error: &str) {
    assert_eq!(answer["error"], error, "{answer}");
    let expected =
        if error == "invalid_client" { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
    assert_eq!(*status, expected, "{answer}");
}
