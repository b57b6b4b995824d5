//! The database, and what issuance keeps in memory of it: changes, the barrier, retirement.

use crate::{
    config::{Config, Guard},
    state::{INCARNATIONS, Incarnation, Kind, Position, ROWS, Registration, Stage, State},
};

/// May a cut return, and why?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Return {
    NotYet,
    ByAcknowledgement,
    ByTime,
    /// Nobody had to be waited for any more who had not acknowledged, since it was removed.
    ByRetirement,
}

impl<const NODES: usize> State<NODES> {
    pub(crate) fn may_begin(&self, config: &Config, kind: Kind) -> bool {
        let made = self.made().filter(|row| *row == kind).count();
        self.open.is_none()
            && usize::from(self.head) < ROWS
            && made < usize::from(config.limit(kind))
    }

    /// Every row there ever was, the lost ones included.
    fn made(&self) -> impl Iterator<Item = Kind> + '_ {
        let rows = &self.log[usize::from(self.branch)][..usize::from(self.head)];
        let lost = if self.branch == 0 { 0..0 } else { self.fork..self.lost_head };
        rows.iter().chain(&self.log[0][usize::from(lost.start)..usize::from(lost.end)]).copied()
    }

    fn registered(&self, config: &Config) -> u8 {
        let counted = |of: &Incarnation| match of.registration {
            Registration::Live => true,
            Registration::Retiring(_) => config.guards(Guard::RetireThenCount),
            Registration::Free | Registration::Removed => false,
        };
        (0..INCARNATIONS).filter(|n| counted(&self.incarnations[*n])).map(|n| 1 << n).sum()
    }

    pub(crate) fn begin(&mut self, config: &Config, kind: Kind) {
        self.open = Some((kind, self.registered(config)));
    }

    pub(crate) fn commit(&mut self, config: &Config) {
        let Some((kind, followers)) = self.open.take() else { return };
        let row = usize::from(self.head);
        self.log[usize::from(self.branch)][row] = kind;
        self.stages[row] =
            if kind == Kind::Cut { Stage::Committed { followers } } else { Stage::None };
        self.head += 1;
        if !self.settled {
            // Under the lock, each change reads which history it is made in.
            self.observed = self.observed.or(Some(0));
        }
        if config.rewind.is_none() {
            // Hearing late is as good as returning late.
            self.heard();
        }
    }

    pub(crate) fn heard(&mut self) {
        self.durable = self.head;
        for (row, stage) in (1..).zip(&mut self.stages) {
            if let Stage::Committed { followers } = *stage {
                // Its transaction read the history before it committed.
                let branch = if row <= self.fork { 0 } else { self.branch };
                *stage = Stage::Waiting { followers, branch, waited: 0 };
            }
        }
    }

    pub(crate) fn resume(&mut self, config: &Config, row: u8) {
        let registered = self.registered(config);
        let branch = self.branch;
        if let Stage::Waiting { followers, waited, .. } = self.stages[usize::from(row) - 1] {
            let followers = followers & registered;
            self.stages[usize::from(row) - 1] = Stage::Waiting { followers, branch, waited };
        }
    }

    pub(crate) fn return_cut(&mut self, row: u8) {
        self.stages[usize::from(row) - 1] = Stage::Returned;
    }

    pub(crate) fn some_returns(&self, config: &Config, why: Return) -> bool {
        (1..=self.head).any(|row| self.returns(config, row) == why)
    }

    /// Acknowledgements stay in flight for good, so one that was sent may be counted at any time.
    pub(crate) fn returns(&self, config: &Config, row: u8) -> Return {
        let Stage::Waiting { followers, branch, waited } = self.stages[usize::from(row) - 1] else {
            return Return::NotYet;
        };
        if !config.guards(Guard::Wait) {
            return Return::ByTime;
        }
        let held = config.guards(Guard::Settle)
            && config.guards(Guard::History)
            && branch == self.branch
            && !self.settled
            && self.observed != Some(config.wait());
        if held {
            return Return::NotYet;
        }
        let acknowledged = |of: &Incarnation| {
            let cut = Position { branch, seq: row };
            config.history(of.acknowledged.branch) == config.history(branch)
                && of.acknowledged.seq >= row
                && (!config.guards(Guard::Nonce) || self.holds(of.acknowledged, cut))
        };
        let waits_for = |n: &usize| followers & (1 << n) != 0;
        let missing = |n: usize| !acknowledged(&self.incarnations[n]);
        if (0..INCARNATIONS).filter(waits_for).any(missing) {
            return if waited == config.wait() { Return::ByTime } else { Return::NotYet };
        }
        let removed = |n: &usize| self.incarnations[*n].registration == Registration::Removed;
        if (0..INCARNATIONS).filter(removed).any(missing) {
            return Return::ByRetirement;
        }
        Return::ByAcknowledgement
    }

    pub(crate) fn tick_issuance(&mut self, config: &Config) {
        let wait = config.wait();
        let count = |waited: &mut u8| *waited = (*waited + 1).min(wait);
        for stage in &mut self.stages {
            if let Stage::Waiting { waited, .. } = stage {
                count(waited);
            }
        }
        for of in &mut self.incarnations {
            if let Registration::Retiring(waited) = &mut of.registration {
                count(waited);
            }
        }
        self.observed.iter_mut().for_each(count);
    }

    pub(crate) fn mark_retiring(&mut self, number: u8) {
        self.incarnations[usize::from(number)].registration = Registration::Retiring(0);
    }

    /// Issuance waits 2 W before. W is modelled: what holds after less holds after more.
    pub(crate) fn remove(&mut self, number: u8) {
        self.incarnations[usize::from(number)] =
            Incarnation { registration: Registration::Removed, ..Incarnation::default() };
    }

    /// It forgets what it counted from. Callers repeat their cuts.
    pub(crate) fn crash_issuance(&mut self, config: &Config) {
        self.open = None;
        self.observed = None;
        for row in 1..=self.head {
            self.resume(config, row);
        }
        for stage in &mut self.stages {
            if let Stage::Waiting { waited, .. } = stage {
                *waited = 0;
            }
        }
        for of in &mut self.incarnations {
            if let Registration::Retiring(waited) = &mut of.registration {
                *waited = 0;
            }
        }
    }

    pub(crate) fn rewind_log(&mut self, to: u8) {
        self.log[1] = self.log[0];
        for row in usize::from(to)..ROWS {
            self.log[1][row] = Kind::Other;
            self.stages[row] = Stage::None;
        }
        (self.open, self.lost_head, self.fork, self.head) = (None, self.head, to, to);
        self.branch = 1;
    }

    pub(crate) fn forget_registrations(&mut self) {
        for of in &mut self.incarnations {
            if of.registration != Registration::Free {
                *of = Incarnation { registration: Registration::Removed, ..Incarnation::default() };
            }
        }
    }

    pub(crate) fn may_register(&self, config: &Config) -> bool {
        let free = self.incarnations[..usize::from(config.incarnations)]
            .iter()
            .any(|of| of.registration == Registration::Free);
        free && (self.open.is_none() || !config.guards(Guard::RegisterUnderLock))
    }

    /// The next incarnation, registered and durable.
    pub(crate) fn insert_follower(&mut self) -> Option<u8> {
        let head = self.head();
        let (number, of) = (0..)
            .zip(&mut self.incarnations)
            .find(|(_, of)| of.registration == Registration::Free)?;
        *of = Incarnation { registration: Registration::Live, acknowledged: head };
        Some(number)
    }
}
