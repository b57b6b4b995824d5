//! One OpenAPI document as an app.

mod build;

use std::collections::BTreeMap;

use keystile_domain::{AppKey, ComponentId};
use url::Url;

use crate::{
    component::Component,
    error::Error,
    extension::{ConnectionLimits, Delivery, Signature},
    report::Report,
    security::AuthScheme,
    server::Server,
};

/// One outside product.
#[derive(Debug, Clone)]
pub struct App {
    /// Its key.
    pub key: AppKey,
    /// What a person calls it.
    pub name: String,
    /// What it is; may be empty.
    pub description: String,
    /// A `data:image/` URI, or the text of an SVG. Only to be shown as an image, never as markup.
    pub icon: Option<String>,
    /// Where it lives; none, if Keystile only guards it and never calls it.
    pub server: Option<Server>,
    /// The ways to connect.
    pub security: Vec<AuthScheme>,
    /// How much it takes from one connection; no limit, if the document names none.
    pub limits: ConnectionLimits,
    /// What it can do.
    pub components: BTreeMap<ComponentId, Component>,
    /// How it signs its webhooks.
    pub signature: Option<Signature>,
    /// What else its webhooks say about themselves.
    pub delivery: Option<Delivery>,
    connects: bool,
}

impl App {
    /// Reads an OpenAPI 3.0 or 3.1 document, YAML or JSON.
    ///
    /// What cannot be mapped is left out, or accepts anything, and stands in the report.
    ///
    /// # Errors
    /// The document as a whole is no app: its syntax, its version, its title, or a limit of
    /// [`crate::limits`].
    pub fn parse(key: AppKey, text: &str) -> Result<(Self, Report), Error> {
        build::app(key, text)
    }

    /// Does an action need a connection? True as soon as the document declares a security scheme,
    /// even one that could not be mapped.
    pub const fn needs_connection(&self) -> bool {
        self.connects
    }

    /// The base URL with `variables` filled in, defaults where one is absent.
    ///
    /// # Errors
    /// [`Error::Variable`] names the bad variable; [`Error::NoServer`] if the app is never called.
    pub fn base_url(&self, variables: &BTreeMap<String, String>) -> Result<Url, Error> {
        self.server.as_ref().ok_or(Error::NoServer)?.fill(variables)
    }
}
