//! The credential goes out and does not come back.

use axum::{
    Router,
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::IntoResponse,
    routing::any,
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD},
};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use keystile_egress::Credential;
use url::form_urlencoded;

use crate::support::{Upstream, client, get, only};

const SECRET: &str = "s3cr\u{e9}t+/&= \"w\\ord\"~fish";
const TOKEN: &str = "s3cr3t+/&=\"w\\ord\"~fish";

fn hex(text: &str, upper: bool) -> String {
    let digits = |byte| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") };
    text.bytes().map(digits).collect::<Vec<_>>().concat()
}

/// What an app may make of a secret that it echoes.
fn echoes(secret: &str) -> Vec<String> {
    let mut all = vec![
        secret.to_owned(),
        hex(secret, false),
        hex(secret, true),
        form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
        secret.bytes().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat(),
        secret.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat(),
        secret.replace('\\', "\\\\").replace('"', "\\\""),
        secret.replace('\\', "\\\\").replace('"', "\\\"").replace('é', "\\u00e9"),
        secret.replace('&', "&amp;").replace('"', "&quot;"),
    ];
    for prefix in ["", "a", "ab", "abc", "key=", "Bearer "] {
        let text = format!("{prefix}{secret}");
        all.extend([
            STANDARD.encode(&text),
            STANDARD_NO_PAD.encode(&text),
            URL_SAFE.encode(&text),
            URL_SAFE_NO_PAD.encode(format!("{text}!")),
        ]);
    }
    all
}

/// Echoes a secret in every header and, byte by byte, in the body; and says that it arrived.
fn echo(secret: &'static str) -> Router {
    let handler = move |headers: HeaderMap, RawQuery(query): RawQuery| async move {
        let expected = form_urlencoded::byte_serialize(secret.as_bytes()).collect::<String>();
        let in_header = headers.values().any(|value| {
            let value = value.as_bytes();
            let plain = secret.as_bytes();
            let basic = STANDARD.encode(format!("user:{secret}"));
            value.windows(plain.len()).any(|part| part == plain)
                || value.ends_with(basic.as_bytes())
        });
        let arrived = in_header || query.unwrap_or_default().contains(&expected);

        let mut out = HeaderMap::new();
        out.insert("x-arrived", HeaderValue::from_static(if arrived { "yes" } else { "no" }));
        out.insert(header::SET_COOKIE, HeaderValue::from_static("session=1"));
        let mut body = String::new();
        for (at, text) in echoes(secret).iter().enumerate() {
            let name: HeaderName = format!("x-echo-{at}").parse().unwrap();
            if let Ok(value) = HeaderValue::from_str(text) {
                out.insert(name, value);
            }
            body.extend(["<", text, ">"]);
        }
        let pieces: Vec<_> =
            body.bytes().map(|byte| Ok::<_, std::io::Error>(Bytes::from(vec![byte]))).collect();
        (out, axum::body::Body::from_stream(stream::iter(pieces)))
    };
    Router::new().route("/", any(handler))
}

fn told(text: &[u8], secret: &str) -> Option<String> {
    let holds = |part: &String| text.windows(part.len()).any(|window| window == part.as_bytes());
    echoes(secret).into_iter().find(holds)
}

#[tokio::test]
async fn an_echoed_credential_is_never_seen() {
    let name = HeaderName::from_static("x-api-key");
    for (secret, credential) in [
        (TOKEN, Credential::Bearer(TOKEN.into())),
        (TOKEN, Credential::Basic { user: "user".into(), password: TOKEN.into() }),
        (TOKEN, Credential::Header { name: name.clone(), value: TOKEN.into() }),
        (TOKEN, Credential::Header { name, value: format!("Token {TOKEN}").into() }),
        (SECRET, Credential::Query { name: "key".into(), value: SECRET.into() }),
    ] {
        let upstream = Upstream::start(echo(secret)).await;
        let mut request = get(&upstream.url("/?other=1"));
        request.headers.insert("x-api-key", HeaderValue::from_static("planted"));
        request.headers.insert(header::AUTHORIZATION, HeaderValue::from_static("planted"));
        let answer = client(only(&[&upstream])).send(request, &credential).await.unwrap();

        assert_eq!(answer.headers["x-arrived"], "yes", "{credential:?}");
        assert!(!answer.headers.contains_key(header::SET_COOKIE));
        assert!(!answer.headers.contains_key(header::CONTENT_LENGTH));
        for (name, value) in &answer.headers {
            assert_eq!(told(value.as_bytes(), secret), None, "{name} with {credential:?}");
        }
        let pieces: Vec<Bytes> = answer.body.try_collect().await.unwrap();
        let body = pieces.concat();
        assert_eq!(told(&body, secret), None, "{credential:?}");
        let marks = body.windows(10).filter(|part| part == b"[redacted]").count();
        assert!(marks >= echoes(secret).len(), "{marks} with {credential:?}");
    }
}

#[tokio::test]
async fn a_key_in_the_place_of_a_user_name_is_scrubbed_too() {
    let app = Router::new().route("/", any(|| async { "your key is sk_live_4242" }));
    let upstream = Upstream::start(app).await;
    for password in ["", "x"] {
        let credential =
            Credential::Basic { user: "sk_live_4242".into(), password: password.into() };
        let answer = client(only(&[&upstream])).send(get(&upstream.url("/")), &credential).await;
        let body = answer.unwrap().body.bytes_limited(100).await.unwrap();
        assert_eq!(body, "your key is [redacted]");
    }
}

#[tokio::test]
async fn without_a_credential_an_answer_passes_untouched() {
    let body: &[u8] = b"\x00\xffanything";
    let app = Router::new()
        .route("/", any(|State(body): State<&'static [u8]>| async move { body.into_response() }))
        .with_state(body);
    let upstream = Upstream::start(app).await;
    let answer = client(only(&[&upstream])).send(get(&upstream.url("/")), &Credential::None).await;
    let answer = answer.unwrap();
    assert_eq!(answer.headers[header::CONTENT_LENGTH], "10");
    let pieces: Vec<_> = answer.body.map(Result::unwrap).collect().await;
    assert_eq!(pieces.concat(), body);
}

#[tokio::test]
async fn errors_tell_neither_url_nor_credential() {
    let upstream = Upstream::start(Router::new()).await;
    let credential = Credential::Query { name: "key".into(), value: "swordfish".into() };
    for url in [
        "https://127.0.0.1:1/path?query=pike".to_owned(),
        "https://nowhere.example.com/path?query=pike".to_owned(),
        format!("https://{}/path?query=pike", upstream.address),
    ] {
        let error = client(only(&[&upstream])).send(get(&url), &credential).await.unwrap_err();
        let shown = format!("{error} {error:?}");
        for word in ["swordfish", "pike", "path", "127.0.0.1", "example.com"] {
            assert!(!shown.contains(word), "{shown}");
        }
    }
}
