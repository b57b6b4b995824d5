//! How many exchanges run at one time, in all and with one host. Nobody waits: whoever comes over
//! the bound is told so at once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::error::Error;

#[derive(Debug)]
pub(crate) struct Gate {
    most: usize,
    most_per_host: usize,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    all: usize,
    by_host: HashMap<String, usize>,
}

impl Gate {
    pub(crate) fn new(most: usize, most_per_host: usize) -> Arc<Self> {
        Arc::new(Self { most, most_per_host, inside: Mutex::default() })
    }

    /// Enters until the pass is dropped.
    pub(crate) fn enter(self: &Arc<Self>, host: &str) -> Result<Pass, Error> {
        let mut inside = self.inside();
        let with_host = inside.by_host.get(host).copied().unwrap_or(0);
        if inside.all >= self.most || with_host >= self.most_per_host {
            return Err(Error::Overloaded);
        }
        inside.all += 1;
        inside.by_host.insert(host.to_owned(), with_host + 1);
        Ok(Pass { gate: Arc::clone(self), host: host.to_owned() })
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        // The counts are changed without a panic in between, so they are right even then.
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among the exchanges that run.
#[derive(Debug)]
pub(crate) struct Pass {
    gate: Arc<Gate>,
    host: String,
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut inside = self.gate.inside();
        inside.all -= 1;
        // Only hosts in use are remembered, so the map is as small as the bound.
        if let Some(count) = inside.by_host.get_mut(&self.host) {
            *count -= 1;
            if *count == 0 {
                inside.by_host.remove(&self.host);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_bounds_hold_and_places_are_given_back() {
        let gate = Gate::new(3, 2);
        let first = gate.enter("a").unwrap();
        let _second = gate.enter("a").unwrap();
        assert_eq!(gate.enter("a").err(), Some(Error::Overloaded));
        let third = gate.enter("b").unwrap();
        assert_eq!(gate.enter("c").err(), Some(Error::Overloaded));
        drop(third);
        assert_eq!(gate.enter("a").err(), Some(Error::Overloaded));
        drop(first);
        let _again = gate.enter("a").unwrap();
        assert_eq!(gate.inside().by_host.len(), 1);
    }
}
