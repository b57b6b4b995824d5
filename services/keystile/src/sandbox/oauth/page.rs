//! The two pages that a person can see. They load nothing and run no script.

use std::{fmt, sync::LazyLock};

use axum::response::{IntoResponse, Response};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderValue, StatusCode, header};
use sha2::{Digest as _, Sha256};

use super::authorize::Request;

const STYLE: &str = include_str!("page.css");

/// This style and nothing else. No `form-action`: browsers that hold it against redirects, too,
/// would stop the way back at the client's own next redirect, to an address unknown here.
static CONTENT_SECURITY_POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let style = STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; frame-ancestors 'none'"
    );
    HeaderValue::from_str(&policy).expect("a policy of base64 and literals is printable")
});

/// What a client wants, and the question. `wrong` says what is wrong with `account`.
pub(super) fn consent(request: &Request, account: &str, wrong: Option<&str>) -> Response {
    let name = Escaped(request.name.as_str());
    let scopes = request.scopes.iter();
    let scopes = scopes.map(|scope| format!("<li>{} <code>{scope}</code></li>\n", scope.allows()));
    let scopes = scopes.collect::<Vec<_>>().concat();
    let scope = request.scopes.to_string();
    let hidden = [
        ("response_type", "code"),
        ("client_id", &request.client),
        ("redirect_uri", request.way_back.uri.as_str()),
        ("scope", &scope),
        ("state", &request.state),
        ("code_challenge", &request.challenge),
        ("code_challenge_method", "S256"),
    ]
    .into_iter()
    .map(|(name, value)| {
        format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">\n", Escaped(value))
    })
    .collect::<Vec<_>>()
    .concat();
    let (invalid, described, message) = match wrong {
        None => ("", "hint", String::new()),
        Some(wrong) => {
            let message = format!("<p class=\"wrong\" id=\"wrong\">{}</p>\n", Escaped(wrong));
            (" aria-invalid=\"true\" autofocus", "wrong hint", message)
        }
    };
    let origin = request.way_back.uri.origin();
    let body = format!(
        r#"<h1><bdi>{name}</bdi> wants to use your Sandbox account</h1>
<form method="post" action="/oauth/authorize">
{hidden}<h2 id="asks">It asks to</h2>
<ul role="list" aria-labelledby="asks">
{scopes}</ul>
<label for="account">Account</label>
<input id="account" name="account" value="{account}" required maxlength="32"
 autocomplete="username" autocapitalize="none" spellcheck="false"{invalid} aria-describedby="{described}">
{message}<p class="hint" id="hint">Any name will do: accounts here have no passwords.</p>
<div class="buttons">
<button name="decision" value="allow">Allow</button>
<button name="decision" value="deny" formnovalidate>Deny</button>
</div>
<p class="after">Both take you back to {origin}.</p>
</form>"#,
        account = Escaped(account),
        origin = Escaped(&origin),
    );
    let title = if wrong.is_some() { "Error: allow access?" } else { "Allow access?" };
    let status = if wrong.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    html(status, title, &body)
}

/// A request that goes nowhere, because nobody can be trusted to be told.
pub(super) fn refusal(status: StatusCode, message: &str) -> Response {
    let message = Escaped(message);
    let body = format!(
        "<h1>This request cannot be answered</h1>\n<p>{message}</p>\n\
         <p class=\"after\">Nothing was allowed. Go back to the program that sent you here and \
         start again.</p>"
    );
    html(status, "This request cannot be answered", &body)
}

fn html(status: StatusCode, title: &str, body: &str) -> Response {
    let page = format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} · Sandbox</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<p class="brand"><svg viewBox="0 0 24 24" fill="none" stroke-width="2" stroke-linejoin="round" aria-hidden="true"><path d="M5 3h10l4 4v14H5z"/><path d="M9 12h6M9 16h6"/></svg>Sandbox</p>
{body}
</main>
</body>
</html>
"#
    );
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY.clone()),
    ];
    (status, headers, page).into_response()
}

/// Text as HTML text or as a quoted attribute's value.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in self.0.split_inclusive(['&', '<', '>', '"', '\'']) {
            let (text, mark) = match part.char_indices().next_back() {
                Some((at, '&')) => (&part[..at], "&amp;"),
                Some((at, '<')) => (&part[..at], "&lt;"),
                Some((at, '>')) => (&part[..at], "&gt;"),
                Some((at, '"')) => (&part[..at], "&quot;"),
                Some((at, '\'')) => (&part[..at], "&#39;"),
                _ => (part, ""),
            };
            f.write_str(text)?;
            f.write_str(mark)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_others_wrote_becomes_markup() {
        let text = "a\"><script>alert('b')</script>&amp;é";
        let escaped = "a&quot;&gt;&lt;script&gt;alert(&#39;b&#39;)&lt;/script&gt;&amp;amp;é";
        assert_eq!(Escaped(text).to_string(), escaped);
        assert_eq!(Escaped("").to_string(), "");
    }
}
