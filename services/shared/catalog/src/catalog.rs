//! The set of apps that a process knows.

use std::{collections::BTreeMap, sync::Arc};

use keystile_domain::{AppKey, ComponentId};
use url::Url;

use crate::{app::App, component::Component};

/// Apps by key. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    apps: Arc<BTreeMap<AppKey, Arc<App>>>,
}

/// The documents inside the binary, but for the sandbox.
const SHIPPED: [(&str, &str); 9] = [
    ("github", include_str!("../apps/github.yaml")),
    ("gmail", include_str!("../apps/gmail.yaml")),
    ("google-sheets", include_str!("../apps/google-sheets.yaml")),
    ("hubspot", include_str!("../apps/hubspot.yaml")),
    ("linear", include_str!("../apps/linear.yaml")),
    ("notion", include_str!("../apps/notion.yaml")),
    ("salesforce", include_str!("../apps/salesforce.yaml")),
    ("slack", include_str!("../apps/slack.yaml")),
    ("stripe", include_str!("../apps/stripe.yaml")),
];

const SANDBOX: &str = include_str!("../apps/sandbox.yaml");

/// The address that stands in the sandbox's document.
const SANDBOX_BASE: &str = "http://127.0.0.1:8085";

fn built_in(key: &str, text: &str) -> App {
    let key = key.parse().expect("the key of a built-in app is valid");
    let (app, _) = App::parse(key, text).expect("a built-in document is valid, as a test shows");
    app
}

impl Catalog {
    /// The apps that come with Keystile.
    pub fn shipped() -> Self {
        Self::of(SHIPPED.into_iter().map(|(key, text)| built_in(key, text)))
    }

    /// These apps; of two with one key, the later.
    pub fn of(apps: impl IntoIterator<Item = App>) -> Self {
        Self::sharing(apps.into_iter().map(Arc::new))
    }

    /// The same of apps that others have, too.
    pub fn sharing(apps: impl IntoIterator<Item = Arc<App>>) -> Self {
        let apps = apps.into_iter().map(|app| (app.key.clone(), app)).collect();
        Self { apps: Arc::new(apps) }
    }

    /// Adds the sandbox, which lives at `base`: its port is known only once it listens.
    #[must_use]
    pub fn with_sandbox(self, base: &Url) -> Self {
        let sandbox = built_in("sandbox", &Self::sandbox_document(base));
        let apps = Arc::unwrap_or_clone(self.apps);
        Self::sharing(apps.into_values().chain([Arc::new(sandbox)]))
    }

    /// The sandbox's document with the address `base`, as the sandbox serves it.
    pub fn sandbox_document(base: &Url) -> String {
        SANDBOX.replace(SANDBOX_BASE, base.as_str().trim_end_matches('/'))
    }

    /// The app of this key.
    pub fn app(&self, key: &AppKey) -> Option<&Arc<App>> {
        self.apps.get(key)
    }

    /// The component of this id.
    pub fn component(&self, id: &ComponentId) -> Option<&Component> {
        self.app(&id.app_key())?.components.get(id)
    }

    /// The apps in the order of their keys.
    pub fn apps(&self) -> impl Iterator<Item = &Arc<App>> {
        self.apps.values()
    }
}
