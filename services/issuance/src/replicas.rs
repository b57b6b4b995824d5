//! What the issuance processes on one database tell one another: that the log grew, and which
//! follower acknowledged what on a stream that another process holds. Design §6.3.
//!
//! All of it is a hint that saves time. What is lost is heard again: a poll reads the head, a renewal
//! repeats the acknowledgement to whoever answers it, and W ends every wait.

use std::{
    collections::HashMap,
    fmt::Write as _,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use keystile_domain::{Incarnation, Position};
use keystile_sql::LONGEST;
use tokio::sync::Notify;

use crate::{Error, Service};

/// How long acknowledgements gather before they are told together.
const BATCH: Duration = Duration::from_millis(5);
/// How long to wait before listening again after the database failed.
const RETRY: Duration = Duration::from_secs(1);

/// What this process has to tell.
#[derive(Default)]
pub(crate) struct News {
    untold: Mutex<Untold>,
    some: Notify,
}

#[derive(Default)]
struct Untold {
    head: Option<Position>,
    acknowledged: HashMap<Incarnation, Position>,
}

/// One piece of news.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Head(Position),
    Acknowledged(Incarnation, Position),
}

impl News {
    pub(crate) fn head(&self, position: Position) {
        self.add(|untold| {
            if untold.head.is_none_or(|head| !head.reaches(&position)) {
                untold.head = Some(position);
            }
        });
    }

    pub(crate) fn acknowledged(&self, incarnation: Incarnation, position: Position) {
        self.add(|untold| {
            untold.acknowledged.insert(incarnation, position);
        });
    }

    fn add(&self, piece: impl FnOnce(&mut Untold)) {
        piece(&mut self.untold.lock().unwrap_or_else(PoisonError::into_inner));
        self.some.notify_one();
    }

    /// All there is to tell, in texts that can be told.
    fn take(&self) -> Vec<String> {
        let mut untold = self.untold.lock().unwrap_or_else(PoisonError::into_inner);
        let Untold { head, acknowledged } = std::mem::take(&mut *untold);
        drop(untold);
        let head = head.map(Heard::Head);
        let acknowledged = acknowledged.into_iter().map(|(id, at)| Heard::Acknowledged(id, at));
        let mut texts = vec![String::new()];
        for piece in head.into_iter().chain(acknowledged).map(|piece| piece.told()) {
            if texts.last().is_some_and(|text| text.len() + piece.len() > LONGEST) {
                texts.push(String::new());
            }
            if let Some(text) = texts.last_mut() {
                text.push_str(&piece);
            }
        }
        texts.retain(|text| !text.is_empty());
        texts
    }
}

impl Heard {
    fn told(&self) -> String {
        let mut text = String::new();
        let _ = match self {
            Self::Head(at) => writeln!(text, "head {} {}", at.history, at.seq),
            Self::Acknowledged(id, at) => writeln!(text, "ack {id} {} {}", at.history, at.seq),
        };
        text
    }

    /// A newer process may tell what this one does not know: that is no news here.
    fn read(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        match words.next()? {
            "head" => Some(Self::Head(position(words)?)),
            "ack" => Some(Self::Acknowledged(words.next()?.parse().ok()?, position(words)?)),
            _ => None,
        }
    }
}

fn position<'w>(mut words: impl Iterator<Item = &'w str>) -> Option<Position> {
    let history = words.next()?.parse().ok()?;
    Some(Position { history, seq: words.next()?.parse().ok()? })
}

impl Service {
    /// Tells the others what is new, until dropped.
    pub(crate) async fn tell(&self) {
        loop {
            self.news.some.notified().await;
            for text in self.news.take() {
                if let Err(error) = self.store.tell(&text).await {
                    tracing::debug!(%error, "the other processes were not told");
                }
            }
            // The first piece goes at once, and those that come meanwhile together.
            tokio::time::sleep(BATCH).await;
        }
    }

    /// Hears the others, until dropped.
    pub(crate) async fn hear(&self) {
        loop {
            if let Err(error) = self.listen().await {
                tracing::debug!(%error, "the other processes are not heard");
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn listen(&self) -> Result<(), Error> {
        let mut heard = self.store.hear().await?;
        loop {
            let text = heard.next().await?.unwrap_or_default();
            for piece in text.lines().filter_map(Heard::read) {
                match piece {
                    Heard::Head(at) => self.announce(at),
                    Heard::Acknowledged(id, at) => {
                        self.barrier.acknowledge(id, at);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use keystile_domain::log::History;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn what_is_told_is_heard_in_texts_of_bounded_length() {
        let news = News::default();
        let at = |seq| Position { history: History { database: [7; 16], timeline: 1 }, seq };
        let id = |number| Incarnation::from_uuid(Uuid::from_u128(number));
        for number in 0..500 {
            news.acknowledged(id(number), at(1));
            news.acknowledged(id(number), at(2));
        }
        news.head(at(3));
        news.head(at(2));
        let texts = news.take();
        assert!(texts.len() > 1 && texts.iter().all(|text| text.len() <= LONGEST));
        let heard: Vec<_> = texts.iter().flat_map(|text| text.lines()).map(Heard::read).collect();
        assert_eq!(heard.len(), 501);
        assert!(heard.contains(&Some(Heard::Head(at(3)))));
        assert!(
            (0..500).all(|number| heard.contains(&Some(Heard::Acknowledged(id(number), at(2)))))
        );
        assert!(news.take().is_empty());
    }

    #[test]
    fn what_does_not_read_is_no_news() {
        for text in ["", "head", "head x", "head x 1", "ack", "ack a b c", "news 1"] {
            assert_eq!(Heard::read(text), None, "{text}");
        }
    }
}
