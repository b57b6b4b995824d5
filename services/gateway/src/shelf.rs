//! The catalog as the gateway serves it: each component beside what its app is called.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use keystile_catalog::{Catalog, Component};
use keystile_domain::{AppKey, ComponentId};

/// What an app is called.
#[derive(Debug)]
pub(crate) struct Label {
    pub(crate) key: AppKey,
    pub(crate) name: String,
    pub(crate) icon: Option<String>,
}

/// One component and its app.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) app: Arc<Label>,
    pub(crate) component: Component,
}

/// Every component there is, by id, and every app, by key.
#[derive(Debug)]
pub(crate) struct Shelf {
    apps: BTreeMap<AppKey, Arc<Label>>,
    items: HashMap<ComponentId, Arc<Item>>,
}

impl Shelf {
    /// Copies the catalog, once at start, so that a request shares what it uses.
    pub(crate) fn new(catalog: &Catalog) -> Self {
        let (mut apps, mut items) = (BTreeMap::new(), HashMap::new());
        for app in catalog.apps() {
            let label = Arc::new(Label {
                key: app.key.clone(),
                name: app.name.clone(),
                icon: app.icon.clone(),
            });
            for (id, component) in &app.components {
                let item = Item { app: Arc::clone(&label), component: component.clone() };
                items.insert(id.clone(), Arc::new(item));
            }
            apps.insert(app.key.clone(), label);
        }
        Self { apps, items }
    }

    /// The app of that key.
    pub(crate) fn app(&self, key: &AppKey) -> Option<&Arc<Label>> {
        self.apps.get(key)
    }

    /// The component of that id.
    pub(crate) fn item(&self, id: &ComponentId) -> Option<&Arc<Item>> {
        self.items.get(id)
    }
}
