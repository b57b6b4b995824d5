//! One component beside its app.

use std::sync::Arc;

use keystile_catalog::{App, Catalog, Component};
use keystile_domain::ComponentId;

/// A component that there is.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    app: Arc<App>,
    id: ComponentId,
}

impl Item {
    /// The component of that id.
    pub(crate) fn of(catalog: &Catalog, id: &ComponentId) -> Option<Self> {
        let app = catalog.app(&id.app_key())?;
        let there = app.components.contains_key(id);
        there.then(|| Self { app: Arc::clone(app), id: id.clone() })
    }

    /// Its id.
    pub(crate) const fn id(&self) -> &ComponentId {
        &self.id
    }

    /// Its app.
    pub(crate) fn app(&self) -> &App {
        &self.app
    }

    /// The component.
    pub(crate) fn component(&self) -> &Component {
        // It was there, and nobody takes anything from an app that others share.
        &self.app.components[&self.id]
    }
}
