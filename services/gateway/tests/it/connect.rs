//! Connecting an account, as a browser sees it. Threats 18 to 20, and 12 for what it brings.

use std::{
    io::Write,
    sync::{Arc, Mutex},
};

use keystile_contract::{
    Failure,
    proto::vault::v1::{CompleteConnectResponse, ConnectResult},
};
use keystile_domain::ErrorKind;
use tracing_subscriber::fmt::format::FmtSpan;

use crate::{
    connects::{
        AUTHORIZE, CODE, CODE_IN_QUERY, COOKIE, INTEGRATION, OTHER, STATE, TICKET, asks, connected,
        failed,
    },
    support::{Answer, World, config},
};

fn page() -> String {
    format!("/connect/{INTEGRATION}")
}

fn arrival() -> String {
    format!("/connect/callback/{INTEGRATION}?code={CODE_IN_QUERY}&state={STATE}&scope=a&scope=b")
}

/// The cookie as the browser sends it.
fn cookie() -> String {
    format!("other=1; keystile_flow_{INTEGRATION}={COOKIE}")
}

const NO_COOKIE: [(&str, &str); 0] = [];

impl World {
    async fn browse(&self, path: &str) -> Answer {
        self.send("GET", path, &[("cookie", &cookie())], "").await
    }

    async fn press(&self, headers: &[(&str, &str)], body: &str) -> Answer {
        let form = ("content-type", "application/x-www-form-urlencoded");
        let cookie = cookie();
        let all = [form, ("cookie", &cookie)].into_iter().chain(headers.iter().copied());
        self.send("POST", &page(), &all.collect::<Vec<_>>(), body).await
    }

    /// The form of the page, filled in as the browser would.
    async fn form(&self) -> String {
        let text = self.browse(&page()).await.text();
        let (_, rest) = text.split_once(r#"name="csrf" value=""#).expect("a token");
        format!("csrf={}", rest.split('"').next().expect("its end"))
    }
}

/// What every answer here has, and a page with this status and heading.
fn is_page(answer: &Answer, status: u16, heading: &str) {
    let text = answer.text();
    assert_eq!(answer.status, status, "{text}");
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let policy = answer.header("content-security-policy").unwrap();
    let (start, style) = policy.split_once("style-src 'sha256-").expect("a style by its hash");
    assert_eq!(start, "default-src 'none'; ");
    assert!(style.ends_with("'; base-uri 'none'; frame-ancestors 'none'"), "{policy}");
    assert!(!policy.contains("form-action"), "{policy}");
    let (_, rest) = text.split_once("<h1").expect("a heading");
    let rest = &rest[rest.find('>').unwrap() + 1..rest.find("</h1>").unwrap()];
    assert_eq!(rest.rsplit('>').next(), Some(heading));
    assert!(text.contains(&format!("<title>{heading} · Keystile</title>")), "{text}");
    for loaded in ["<script", " src=", "url(", "@import", "<link", " style="] {
        assert!(!text.contains(loaded), "{loaded}: {text}");
    }
    let id = answer.header("x-request-id").unwrap();
    assert_eq!(text.contains(id), status >= 400, "a request id is for errors");
    for secret in [TICKET, COOKIE, STATE, CODE, CODE_IN_QUERY] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
}

#[tokio::test]
async fn a_ticket_becomes_a_cookie_and_leaves_the_address() {
    let https = config(|config| config.public_url = Some("https://gateway.example.com/k".into()));
    for (world, prefix, secure) in
        [(World::new().await, "", ""), (World::with(https).await, "__Host-", "; Secure")]
    {
        let path = format!("{}?utm_source=mail&ticket={TICKET}", page());
        let answer = world.send("GET", &path, &NO_COOKIE, "").await;
        assert_eq!((answer.status, answer.header("location")), (303, Some(INTEGRATION)));
        let expected = format!(
            "{prefix}keystile_flow_{INTEGRATION}={COOKIE}; Path=/; Max-Age=600; HttpOnly; \
             SameSite=Lax{secure}"
        );
        assert_eq!(answer.header("set-cookie"), Some(&*expected));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert!(answer.body.is_empty());
        let asked = world.connects.opened();
        assert_eq!((&*asked[0].ticket, &*asked[0].cookie), (TICKET, ""));
        assert_eq!(asked[0].integration_id, INTEGRATION);

        // Back to the ticket's address, in the same browser: the page is still there.
        let held = format!("{prefix}keystile_flow_{INTEGRATION}={COOKIE}");
        let used = format!("{}?ticket=used", page());
        let answer = world.send("GET", &used, &[("cookie", &held)], "").await;
        assert_eq!((answer.status, answer.header("set-cookie")), (303, None));
        let answer = world.send("GET", &page(), &[("cookie", &held)], "").await;
        is_page(&answer, 200, "Connect Gmail?");
        assert_eq!(answer.header("set-cookie"), None);
        let asked = world.connects.opened();
        assert_eq!((&*asked[1].ticket, &*asked[1].cookie), ("", COOKIE));
    }
}

#[tokio::test]
async fn the_page_says_who_asks_for_what_and_until_when() {
    let world = World::new().await;
    let answer = world.browse(&page()).await;
    is_page(&answer, 200, "Connect Gmail?");
    let text = answer.text();
    for shown in [
        "<bdi>ada@example.com</bdi></strong> asks to use a Gmail account",
        "<bdi>Support inbox</bdi><span class=\"pill\">new</span>",
        "<bdi>Gmail for support</bdi>",
        "<span>Send email on your behalf</span><code>https://www.googleapis.com/auth/gmail.send</code>",
        "<li><code>profile</code></li>",
        "<button>Continue to Gmail</button>",
        "To cancel, close this page.",
        "9 minutes, until <time datetime=\"2026-01-01T12:09:30Z\">12:09 UTC</time>",
        "<form method=\"post\">",
    ] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    // Without it browsers would send the form as of origin `null`.
    assert_eq!(answer.header("referrer-policy"), Some("same-origin"));

    let mut again = asks();
    again.reconnect = true;
    again.scopes.clear();
    world.connects.ask(again);
    let answer = world.browse(&page()).await;
    is_page(&answer, 200, "Connect Gmail again?");
    let text = answer.text();
    assert!(text.contains("connected before") && text.contains("no permission by name"), "{text}");
}

#[tokio::test]
async fn what_others_wrote_is_text_and_never_markup() {
    let world = World::new().await;
    let hostile = || "\"><script>alert('x')</script>&amp;".to_owned();
    let mut asks = asks();
    asks.requester = hostile();
    asks.app_name = hostile();
    asks.integration_name = hostile();
    asks.connection_name = hostile();
    asks.scopes[0].scope = hostile();
    asks.scopes[0].description = hostile();
    world.connects.ask(asks);
    let text = world.browse(&page()).await.text();
    assert_eq!(text.matches("&#34;&#62;&#60;script&#62;alert(&#39;x&#39;)").count(), 12, "{text}");
    assert!(!text.contains("<script"), "{text}");
    let written = |ended: CompleteConnectResponse| CompleteConnectResponse {
        app_name: hostile(),
        connection_name: hostile(),
        connection_id: hostile(),
        missing_scopes: vec![hostile()],
        detail: hostile(),
        ..ended
    };
    let denied = || CompleteConnectResponse {
        result: ConnectResult::Denied.into(),
        ..CompleteConnectResponse::default()
    };
    for ended in [connected(), denied(), failed("new_reason", "")] {
        let ended = written(ended);
        world.connects.end(move |_| Ok(ended.clone()));
        let text = world.browse(&arrival()).await.text();
        assert!(text.contains("&#34;&#62;&#60;script&#62;alert("), "{text}");
        assert!(!text.contains("<script"), "{text}");
    }
}

#[tokio::test]
async fn the_button_leads_to_the_provider_that_vault_names() {
    let world = World::new().await;
    let form = world.form().await;
    for sent in [
        &[][..],
        &[("sec-fetch-site", "same-origin")],
        &[("origin", "http://gateway")],
        &[("origin", "null"), ("sec-fetch-site", "same-origin")],
    ] {
        let answer = world.press(sent, &form).await;
        assert_eq!((answer.status, answer.header("location")), (303, Some(AUTHORIZE)));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("set-cookie"), None);
        let begun = world.connects.begun();
        assert_eq!((&*begun[0].integration_id, &*begun[0].cookie), (INTEGRATION, COOKIE));
    }
}

/// Threat 18.
#[tokio::test]
async fn another_site_does_not_press_the_button() {
    let world = World::new().await;
    let form = world.form().await;
    for sent in [
        &[("sec-fetch-site", "cross-site")][..],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "none")],
        &[("sec-fetch-site", "cross-site"), ("origin", "http://gateway")],
        &[("origin", "https://evil.example")],
        &[("origin", "http://gateway.evil.example")],
        &[("origin", "null")],
    ] {
        is_page(&world.press(sent, &form).await, 403, "Another site sent this");
    }
    let https = config(|config| config.public_url = Some("https://gateway.example.com/k".into()));
    let public = World::with(https).await;
    for origin in ["http://gateway.example.com", "https://gateway", "http://gateway"] {
        let answer = public.press(&[("origin", origin)], &form).await;
        is_page(&answer, 403, "Another site sent this");
    }
    assert_eq!(world.connects.begun().len() + public.connects.begun().len(), 0);
}

/// Two flows of one integration in one browser: the page shows one account, the cookie is of another.
#[tokio::test]
async fn a_page_begins_the_flow_that_it_shows_or_none() {
    let world = World::new().await;
    let form = world.form().await;
    let other = format!("keystile_flow_{INTEGRATION}=of-a-later-flow");
    let answer = world.send("POST", &page(), &[("cookie", &other)], &form).await;
    is_page(&answer, 409, "You started again meanwhile");
    assert!(answer.text().contains(&format!("<a href=\"{INTEGRATION}\">")));
    for body in ["", "csrf=", "csrf=forged", "other=1"] {
        is_page(&world.press(&[], body).await, 409, "You started again meanwhile");
    }
    let twice = format!("{form}&{form}");
    is_page(&world.press(&[], &twice).await, 400, "This link cannot be read");
    let long = format!("{form}&other={}", "a".repeat(1024));
    is_page(&world.press(&[], &long).await, 400, "This link cannot be read");
    let answer = world.send("POST", &page(), &NO_COOKIE, &form).await;
    is_page(&answer, 400, "This link cannot be used");
    assert!(world.connects.begun().is_empty());
}

#[tokio::test]
async fn what_the_provider_sends_back_goes_to_vault_as_it_is_and_the_flow_is_over() {
    let world = World::new().await;
    let path =
        format!("{}&iss=https%3A%2F%2Fprovider.example&authuser=0&error_description=no", arrival());
    let answer = world.browse(&path).await;
    is_page(&answer, 200, "Gmail is connected");
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    let gone = format!("keystile_flow_{INTEGRATION}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
    assert_eq!(answer.header("set-cookie"), Some(&*gone));
    let asked = world.connects.completed();
    assert_eq!(asked.len(), 1);
    let asked = &asked[0];
    assert_eq!((&*asked.code, &*asked.state, &*asked.cookie), (CODE, STATE, COOKIE));
    assert_eq!((&*asked.error, &*asked.iss), ("", "https://provider.example"));
    assert_eq!(asked.integration_id, INTEGRATION);
    let text = answer.text();
    assert!(text.contains("Support inbox") && text.contains("conn_0000000000e008000000000003"));
    assert!(!text.contains("Not granted"), "{text}");

    world.connects.end(|_| {
        let missing_scopes = vec!["gmail.send".to_owned()];
        Ok(CompleteConnectResponse { missing_scopes, ..connected() })
    });
    let text = world.browse(&arrival()).await.text();
    assert!(text.contains("Not granted") && text.contains("<code>gmail.send</code>"), "{text}");
}

#[tokio::test]
async fn a_flow_without_an_account_says_why_and_what_helps() {
    let world = World::new().await;
    let denied = || CompleteConnectResponse {
        result: ConnectResult::Denied.into(),
        app_name: "Gmail".to_owned(),
        ..CompleteConnectResponse::default()
    };
    world.connects.end(move |_| Ok(denied()));
    let path = format!("/connect/callback/{INTEGRATION}?error=access_denied&state={STATE}");
    let answer = world.browse(&path).await;
    is_page(&answer, 200, "Gmail was not connected");
    assert!(answer.text().contains("You said no at Gmail"));
    assert!(answer.header("set-cookie").unwrap().contains("Max-Age=0"));
    let asked = world.connects.completed();
    assert_eq!((&*asked[0].error, &*asked[0].code), ("access_denied", ""));

    for (reason, status, next) in [
        ("expired", 410, "start again"),
        ("issuer_mismatch", 400, "forging"),
        ("provider_error", 502, "Start again"),
        ("provider_unavailable", 502, "Wait a few minutes"),
        ("client_refused", 502, "client ID and secret"),
        ("code_refused", 502, "Start again"),
        ("invalid_answer", 502, "Start again"),
        ("connection_gone", 409, "still there"),
        ("integration_not_configured", 409, "put it in use"),
        ("a_reason_of_a_later_vault", 502, "Start again"),
    ] {
        world.connects.end(move |_| Ok(failed(reason, "it went wrong: here")));
        let answer = world.browse(&arrival()).await;
        is_page(&answer, status, "Gmail was not connected");
        let text = answer.text();
        assert!(text.contains("It went wrong: here.") && text.contains(next), "{reason}: {text}");
        assert!(answer.header("set-cookie").unwrap().contains("Max-Age=0"));
    }
    world.connects.end(|_| Ok(CompleteConnectResponse::default()));
    is_page(&world.browse(&arrival()).await, 500, "Something is broken here");
}

/// Threat 20: nothing that the browser brings decides where it goes.
#[tokio::test]
async fn the_browser_goes_back_only_to_where_vault_says() {
    let world = World::new().await;
    let id = "connection_id=conn_0000000000e008000000000003";
    let denied = || CompleteConnectResponse {
        result: ConnectResult::Denied.into(),
        ..CompleteConnectResponse::default()
    };
    for (ended, return_url, expected) in [
        (connected(), "https://app.example/done", format!("?status=connected&{id}")),
        (connected(), "https://app.example/done?a=%20x+y&b", format!("&status=connected&{id}")),
        (connected(), "http://127.0.0.1:9/?status=mine", format!("&status=connected&{id}")),
        (denied(), "https://app.example/done", "?status=denied".to_owned()),
        (
            failed("expired", "late"),
            "https://app.example/done",
            "?status=failed&reason=expired".to_owned(),
        ),
    ] {
        let ended = CompleteConnectResponse { return_url: return_url.to_owned(), ..ended };
        world.connects.end(move |_| Ok(ended.clone()));
        let path = format!("{}&return_url=https://evil.example&redirect_uri=/x", arrival());
        let answer = world.browse(&path).await;
        let location = format!("{return_url}{expected}");
        assert_eq!((answer.status, answer.header("location")), (303, Some(&*location)));
        assert!(answer.header("set-cookie").unwrap().contains("Max-Age=0"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        assert!(answer.body.is_empty());
    }
    for return_url in ["/done", "//evil.example", "not a URL"] {
        let ended = CompleteConnectResponse { return_url: return_url.to_owned(), ..connected() };
        world.connects.end(move |_| Ok(ended.clone()));
        let answer = world.browse(&arrival()).await;
        is_page(&answer, 500, "Something is broken here");
        assert_eq!(answer.header("location"), None);
    }
}

#[tokio::test]
async fn a_repeated_or_oversized_parameter_is_refused_before_vault_is_asked() {
    let world = World::new().await;
    let callback = format!("/connect/callback/{INTEGRATION}");
    let (kib, longest) = ("a".repeat(1 << 10), "a".repeat(4 << 10));
    for query in [
        format!("{}?ticket={TICKET}&ticket={TICKET}", page()),
        format!("{}?ticket={TICKET}&ticket=", page()),
        format!("{}?ticket={kib}a", page()),
        format!("{callback}?code=a&code=a&state={STATE}"),
        format!("{callback}?code=a&state={STATE}&stat%65={STATE}"),
        format!("{callback}?error=a&error=b&state={STATE}"),
        format!("{callback}?error_description=a&error_description=b&state={STATE}"),
        format!("{callback}?iss=a&iss=a&state={STATE}"),
        format!("{callback}?code={longest}a&state={STATE}"),
        format!("{callback}?code=a&state={longest}a"),
        format!("{callback}?state={STATE}&error={kib}a"),
        format!("{callback}?state={STATE}&error_description={kib}a"),
        format!("{callback}?state={STATE}&iss={kib}a"),
    ] {
        is_page(&world.browse(&query).await, 400, "This link cannot be read");
    }
    assert_eq!(world.connects.calls(), 0);
    let longest = format!("{callback}?code={longest}&state={STATE}&iss={kib}&error={kib}");
    is_page(&world.browse(&longest).await, 200, "Gmail is connected");
    let beyond = format!("{}?{}", page(), "a".repeat(9000));
    is_page(&world.browse(&beyond).await, 414, "This cannot be answered");
}

/// Threats 18 and 19.
#[tokio::test]
async fn without_the_flow_s_cookie_there_is_no_flow() {
    let world = World::new().await;
    let of_other = format!("keystile_flow_{OTHER}={COOKIE}");
    let twice = format!("{}; keystile_flow_{INTEGRATION}=x", cookie());
    for headers in [&[][..], &[("cookie", &*of_other)], &[("cookie", &*twice)]] {
        for path in [page(), arrival(), format!("{}?public_key=pk_x&state=s", page())] {
            let answer = world.send("GET", &path, headers, "").await;
            is_page(&answer, 400, "This link cannot be used");
            assert_eq!(answer.header("set-cookie"), None);
        }
    }
    assert_eq!(world.connects.calls(), 0);
    for path in ["/connect/callback", "/connect/int_x", "/connect/%ff", "/connect/callback/conn_x"]
    {
        is_page(&world.browse(path).await, 400, "This link cannot be used");
    }
    let forged = format!("/connect/callback/{INTEGRATION}?code=c&state=forged");
    let answer = world.browse(&forged).await;
    is_page(&answer, 400, "This link cannot be used");
    // The flow still waits, and needs it.
    assert_eq!(answer.header("set-cookie"), None);
    let ticket = format!("{}?ticket=forged", page());
    let answer = world.send("GET", &ticket, &NO_COOKIE, "").await;
    is_page(&answer, 400, "This link cannot be used");
}

#[tokio::test]
async fn a_program_that_only_looks_spends_nothing() {
    let world = World::new().await;
    for path in [format!("{}?ticket={TICKET}", page()), arrival()] {
        let answer = world.send("HEAD", &path, &[("cookie", &cookie())], "").await;
        assert_eq!((answer.status, answer.header("set-cookie")), (200, None));
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    }
    assert_eq!(world.connects.calls(), 0);
}

#[tokio::test]
async fn every_error_is_a_page_for_a_person() {
    let world = World::new().await;
    let form = world.form().await;
    for kind in ErrorKind::ALL {
        let (status, heading) = match kind {
            ErrorKind::NotFound | ErrorKind::Invalid => (400, "This link cannot be used"),
            ErrorKind::Conflict => (409, "This integration is not in use"),
            ErrorKind::Unavailable | ErrorKind::Exhausted | ErrorKind::Stale => {
                (503, "Accounts cannot be connected now")
            }
            ErrorKind::Timeout => (504, "This took too long"),
            ErrorKind::Upstream
            | ErrorKind::Unauthenticated
            | ErrorKind::Forbidden
            | ErrorKind::Internal => (500, "Something is broken here"),
        };
        let reason = if kind == ErrorKind::Stale { "stale_capability" } else { "some_reason" };
        world.connects.trouble(Some(Failure::new(kind, reason, "a driver's text").into()));
        let answers = [
            world.browse(&page()).await,
            world.press(&[], &form).await,
            world.browse(&arrival()).await,
        ];
        for answer in answers {
            is_page(&answer, status, heading);
            assert_eq!(answer.header("retry-after"), (status == 503).then_some("5"), "{kind:?}");
            assert!(!answer.text().contains("driver"));
            assert_eq!(answer.header("set-cookie"), None, "the flow may still be there");
        }
    }
    world.connects.trouble(None);
    let answer = world.send("DELETE", &page(), &NO_COOKIE, "").await;
    is_page(&answer, 405, "This cannot be answered");
    assert_eq!(answer.header("allow"), Some("GET,HEAD,POST"));
    is_page(&world.browse("/connect/a/b/c").await, 404, "There is nothing here");
    let huge = [("content-length", "9999999999"), ("connection", "close")];
    let answer = world.send("POST", &page(), &huge, "").await;
    is_page(&answer, 413, "This cannot be answered");
    let options = world.send("OPTIONS", &page(), &NO_COOKIE, "").await;
    assert_eq!((options.status, options.body.len()), (204, 0));
    // Everybody else still gets a document.
    assert_eq!(world.get("/connected").await.code(), "not_found");
}

/// Everything that was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Threat 12. Whatever other tests do in this process is heard as well, and has no canary either.
#[tokio::test]
async fn neither_ticket_nor_cookie_nor_code_nor_state_is_logged() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(FmtSpan::FULL)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::set_global_default(subscriber).expect("nobody else listens");
    let world = World::new().await;
    let ticket = format!("{}?ticket={TICKET}", page());
    assert_eq!(world.send("GET", &ticket, &NO_COOKIE, "").await.status, 303);
    let form = world.form().await;
    assert_eq!(world.press(&[], &form).await.status, 303);
    assert_eq!(world.browse(&arrival()).await.status, 200);
    world.connects.end(|_| Ok(failed("code_refused", "no")));
    assert_eq!(world.browse(&arrival()).await.status, 502);
    world.connects.end(|_| Ok(CompleteConnectResponse { return_url: CODE.into(), ..connected() }));
    assert_eq!(world.browse(&arrival()).await.status, 500);
    assert_eq!(world.browse(&format!("{}&code=x", arrival())).await.status, 400);
    for kind in ErrorKind::ALL {
        world.connects.trouble(Some(Failure::new(kind, "some_reason", "a message").into()));
        world.browse(&ticket).await;
        world.press(&[], &form).await;
        world.browse(&arrival()).await;
    }
    let logged = log.0.lock().unwrap().clone();
    let logged = String::from_utf8_lossy(&logged);
    assert!(logged.contains("/connect/callback/{integrationId}"), "the log is heard: {logged}");
    assert!(logged.contains("a connect flow ended"), "{logged}");
    let leaks = logged.lines().filter(|line| line.contains("canary")).collect::<Vec<_>>();
    assert!(leaks.is_empty(), "{leaks:#?}");
}
