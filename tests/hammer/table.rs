//! How long cuts took, in columns.

use std::{fmt::Write as _, time::Duration};

/// A cut that returned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// What happened to the deployment then.
    pub(crate) row: usize,
    /// From its first attempt to its receipt.
    pub(crate) took: Duration,
    /// Was there a follower whose lease had to run out?
    pub(crate) waited_out: bool,
}

/// A line for each row that has a cut, and one for those that met a dead follower.
pub(crate) fn print(rows: &[&str], samples: &[Sample]) -> String {
    let mut text = format!(
        "{:<28}{:>8}{:>12}{:>10}{:>10}{:>10}\n",
        "cut latency, ms", "cuts", "waited out", "p50", "p99", "max"
    );
    let mut line = |name: &str, of: Vec<Sample>| {
        let mut took: Vec<_> = of.iter().map(|sample| sample.took.as_secs_f64() * 1e3).collect();
        took.sort_by(f64::total_cmp);
        let Some(last) = took.last().copied() else { return };
        let [half, most] = [50, 99].map(|percent| took[(took.len() - 1) * percent / 100]);
        let waited = of.iter().filter(|sample| sample.waited_out).count();
        let count = took.len();
        let _ =
            writeln!(text, "{name:<28}{count:>8}{waited:>12}{half:>10.1}{most:>10.1}{last:>10.1}");
    };
    for (index, name) in rows.iter().enumerate() {
        let of = samples.iter().copied().filter(|sample| sample.row == index);
        line(name, of.collect());
    }
    line("all with a dead follower", samples.iter().copied().filter(|s| s.waited_out).collect());
    line("all", samples.to_vec());
    text
}
