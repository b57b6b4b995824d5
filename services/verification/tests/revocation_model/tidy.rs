//! What makes no difference any more.

use crate::{
    config::Config,
    state::{Position, Stage, Stand, State},
};

impl<const NODES: usize> State<NODES> {
    /// Forgets what can no longer make a difference while every guard holds, so that states that
    /// differ by it alone are one.
    pub(crate) fn tidy(&mut self, config: &Config) {
        if config.without.is_some() {
            return;
        }
        for node in &mut self.nodes {
            let Some(line) = node.line else { continue };
            // What a line refuses, it refuses for good; what a tombstone refuses, every line of
            // that history does.
            let refused = |at: Position| {
                config.history(at.branch) == config.history(line.applied.branch)
                    && at.seq < line.tombstone
            };
            if node.l1.is_some_and(refused) {
                node.l1 = None;
            }
            let over = match node.verify.stand {
                Stand::Fetched { as_of, .. } => refused(as_of),
                Stand::Leased { as_of, .. } => !node.admits(config, as_of),
                _ => false,
            };
            if over {
                node.end_verify();
            }
        }
        // What an incarnation that is gone acknowledged counts for cuts under way only.
        let lines = self.nodes.iter().filter_map(|node| node.line);
        let held: u8 = lines.map(|line| 1 << line.incarnation).fold(0, |all, one| all | one);
        let first_cut = (1..=self.head).find(|row| {
            !matches!(self.stages[usize::from(*row) - 1], Stage::None | Stage::Returned)
        });
        for (number, of) in self.incarnations.iter_mut().enumerate() {
            if held & (1 << number) == 0 && first_cut.is_none_or(|row| of.acknowledged.seq < row) {
                of.acknowledged = Position::default();
            }
        }
    }
}
