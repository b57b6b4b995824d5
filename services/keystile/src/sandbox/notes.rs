//! The notes of every account, bounded.

use std::collections::{HashMap, VecDeque};

use serde::Serialize;
use time::OffsetDateTime;

/// Notes that an account keeps.
pub const MAX_NOTES: usize = 1_000;
/// Accounts that there are.
pub const MAX_ACCOUNTS: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Note {
    pub(super) id: String,
    pub(super) title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) body: Option<String>,
    pub(super) tags: Vec<String>,
    #[serde(with = "time::serde::rfc3339")]
    pub(super) created_at: OffsetDateTime,
}

/// Notes by account, each newest first.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    notes: HashMap<String, VecDeque<Note>>,
    /// The accounts, oldest first.
    order: VecDeque<String>,
}

impl Accounts {
    pub(super) fn add(&mut self, account: &str, note: Note) {
        if !self.notes.contains_key(account) {
            if self.order.len() == MAX_ACCOUNTS
                && let Some(oldest) = self.order.pop_front()
            {
                self.notes.remove(&oldest);
            }
            self.order.push_back(account.to_owned());
        }
        let notes = self.notes.entry(account.to_owned()).or_default();
        notes.truncate(MAX_NOTES - 1);
        notes.push_front(note);
    }

    pub(super) fn newest(&self, account: &str, tag: Option<&str>, limit: usize) -> Vec<Note> {
        let carries = |note: &&Note| tag.is_none_or(|tag| note.tags.iter().any(|t| t == tag));
        self.of(account).filter(carries).take(limit).cloned().collect()
    }

    pub(super) fn get(&self, account: &str, id: &str) -> Option<Note> {
        self.of(account).find(|note| note.id == id).cloned()
    }

    pub(super) fn remove(&mut self, account: &str, id: &str) -> bool {
        let Some(notes) = self.notes.get_mut(account) else { return false };
        let before = notes.len();
        notes.retain(|note| note.id != id);
        notes.len() < before
    }

    fn of(&self, account: &str) -> impl Iterator<Item = &Note> {
        self.notes.get(account).into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(id: usize) -> Note {
        Note {
            id: id.to_string(),
            title: "a".to_owned(),
            body: None,
            tags: Vec::new(),
            created_at: OffsetDateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_makes_room() {
        let mut accounts = Accounts::default();
        for id in 0..=MAX_NOTES {
            accounts.add("a", note(id));
        }
        assert_eq!(accounts.of("a").count(), MAX_NOTES);
        assert!(accounts.get("a", "0").is_none() && accounts.get("a", "1").is_some());
        for other in 0..MAX_ACCOUNTS {
            accounts.add(&other.to_string(), note(0));
        }
        assert_eq!(accounts.notes.len(), MAX_ACCOUNTS);
        assert_eq!(accounts.of("a").count(), 0);
    }

    #[test]
    fn accounts_do_not_see_one_another() {
        let mut accounts = Accounts::default();
        accounts.add("a", note(1));
        assert!(accounts.newest("b", None, 10).is_empty());
        assert!(!accounts.remove("b", "1") && accounts.remove("a", "1"));
    }
}
