//! A browser without a screen: cookies, redirects and forms, and no scripts.

use reqwest::{Client, StatusCode, Url, redirect::Policy};

/// Redirects in a row.
const MOST_REDIRECTS: usize = 15;

/// A person's browser.
#[derive(Debug, Clone)]
pub struct Browser {
    client: Client,
}

/// What it shows.
#[derive(Debug, Clone)]
pub struct Page {
    /// The address bar.
    pub url: Url,
    /// The status of the last answer.
    pub status: StatusCode,
    /// The page.
    pub text: String,
}

impl Default for Browser {
    fn default() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().cookie_store(true).redirect(Policy::none());
        Self { client: client.build().expect("a client") }
    }
}

impl Browser {
    /// Goes to an address.
    ///
    /// # Panics
    /// If nobody answers.
    pub async fn open(&self, url: &str) -> Page {
        self.follow(Url::parse(url).expect("a URL"), None).await
    }

    /// Presses the button of the page's form, with these fields filled in.
    ///
    /// # Panics
    /// If the page has no form.
    pub async fn submit(&self, page: &Page, fields: &[(&str, &str)]) -> Page {
        let form = page.form().unwrap_or_else(|| panic!("no form in {}", page.text));
        let action = attribute(tags(form, "form").next().expect("a form"), "action");
        let url = page.url.join(&action.unwrap_or_default()).expect("an address");
        let mut filled: Vec<(String, String)> = tags(form, "input")
            .filter_map(|tag| Some((attribute(tag, "name")?, attribute(tag, "value")?)))
            .filter(|(name, _)| !fields.iter().any(|(own, _)| own == name))
            .collect();
        filled.extend(fields.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        self.follow(url, Some(filled)).await
    }

    /// Redirects are followed as browsers do: with GET.
    async fn follow(&self, mut url: Url, mut form: Option<Vec<(String, String)>>) -> Page {
        for _ in 0..MOST_REDIRECTS {
            let request = match form.take() {
                Some(fields) => {
                    let origin = url.origin().ascii_serialization();
                    self.client.post(url.clone()).header("origin", origin).form(&fields)
                }
                None => self.client.get(url.clone()),
            };
            let answer = request.send().await.expect("an answer");
            let next = answer.headers().get("location").and_then(|to| to.to_str().ok());
            if let Some(next) = next.filter(|_| answer.status().is_redirection()) {
                url = url.join(next).expect("an address");
                continue;
            }
            let status = answer.status();
            let text = answer.text().await.expect("a page");
            return Page { url, status, text };
        }
        panic!("redirected for ever, at last to {url}")
    }
}

impl Page {
    fn form(&self) -> Option<&str> {
        let start = self.text.find("<form")?;
        let end = self.text[start..].find("</form>")?;
        Some(&self.text[start..start + end])
    }
}

/// The tags of that name.
fn tags<'t>(text: &'t str, name: &'t str) -> impl Iterator<Item = &'t str> {
    text.split('<').filter(move |tag| {
        tag.strip_prefix(name).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
    })
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    let value = rest.split_once('"')?.0;
    Some(value.replace("&quot;", "\"").replace("&#39;", "'").replace("&amp;", "&"))
}
