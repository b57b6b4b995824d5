//! How far a rotation is: a bar on a terminal, a line now and then elsewhere, nothing for a program.
//! All of it on standard error.

use std::sync::atomic::{AtomicU64, Ordering};

use indicatif::{ProgressBar, ProgressStyle};
use keystile_vault::rotation::Progress;

/// A line for each so many, where there is no terminal.
const STEP: u64 = 1_000;

pub(super) struct Shown {
    what: &'static str,
    bar: Option<ProgressBar>,
    told: AtomicU64,
}

impl Shown {
    /// `what` is what is counted, in the plural; a program is told nothing.
    pub(super) fn new(what: &'static str, json: bool) -> Self {
        let style = ProgressStyle::with_template("{msg} [{bar:32}] {pos}/{len}, {eta} left");
        let bar = ProgressBar::new(0).with_message(what);
        let bar = bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { what, bar: (!json).then_some(bar), told: AtomicU64::new(0) }
    }

    pub(super) fn at(&self, progress: Progress) {
        let Some(bar) = &self.bar else { return };
        let Progress { done, left } = progress;
        bar.set_length(done + left);
        bar.set_position(done);
        let steps = done / STEP;
        if bar.is_hidden() && self.told.swap(steps, Ordering::Relaxed) < steps {
            eprintln!("{}: {done} done, {left} left", self.what);
        }
    }

    /// A line above the bar, or alone.
    pub(super) fn say(&self, text: &str) {
        match &self.bar {
            // Before there is something to count, nothing is drawn.
            Some(bar) if !bar.is_hidden() && bar.length() != Some(0) => bar.println(text),
            Some(_) => eprintln!("{text}"),
            None => {}
        }
    }

    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
