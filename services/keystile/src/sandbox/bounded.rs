//! A map of bounded size.

use std::{
    borrow::Borrow,
    collections::{BTreeMap, HashMap},
    hash::Hash,
};

/// At most so many entries: the oldest makes room.
#[derive(Debug)]
pub(super) struct Bounded<K, V> {
    most: usize,
    next: u64,
    entries: HashMap<K, (u64, V)>,
    /// Keys by age, oldest first.
    order: BTreeMap<u64, K>,
}

impl<K: Clone + Eq + Hash, V> Bounded<K, V> {
    pub(super) fn new(most: usize) -> Self {
        Self { most, next: 0, entries: HashMap::new(), order: BTreeMap::new() }
    }

    /// Adds an entry, or replaces it with a new one.
    pub(super) fn insert(&mut self, key: K, value: V) {
        self.remove(&key);
        if self.entries.len() == self.most
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.entries.remove(&oldest);
        }
        self.order.insert(self.next, key.clone());
        self.entries.insert(key, (self.next, value));
        self.next += 1;
    }

    pub(super) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.entries.get(key).map(|(_, value)| value)
    }

    pub(super) fn get_mut<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.entries.get_mut(key).map(|(_, value)| value)
    }

    pub(super) fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        if let Some((age, _)) = self.entries.remove(key) {
            self.order.remove(&age);
        }
    }

    /// Keeps the entries whose value is one of these.
    pub(super) fn retain(&mut self, keep: impl Fn(&V) -> bool) {
        self.entries.retain(|_, (_, value)| keep(value));
        self.order.retain(|_, key| self.entries.contains_key(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_makes_room_and_nothing_else_grows() {
        let mut map = Bounded::new(3);
        for key in 0..5 {
            map.insert(key, key);
        }
        assert_eq!((map.get(&1), map.get(&2), map.get(&4)), (None, Some(&2), Some(&4)));
        map.insert(2, 20);
        map.insert(5, 5);
        assert_eq!((map.get(&3), map.get(&2)), (None, Some(&20)), "what is replaced is young");
        map.remove(&4);
        map.retain(|value| *value != 20);
        assert_eq!((map.entries.len(), map.order.len()), (1, 1));
        for key in 10..13 {
            map.insert(key, key);
        }
        assert_eq!((map.entries.len(), map.order.len()), (3, 3));
    }
}
