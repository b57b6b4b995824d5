//! A metric that somebody else keeps.

use prometheus::{
    Counter, Gauge, Opts,
    core::{Collector, Desc, Describer as _},
    proto::MetricFamily,
};

pub(super) enum Kind {
    Counter,
    Gauge,
}

/// Read when it is collected.
pub(super) struct Observed {
    kind: Kind,
    opts: Opts,
    desc: Desc,
    read: Box<dyn Fn() -> f64 + Send + Sync>,
}

impl Observed {
    pub(super) fn new(
        kind: Kind,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        read: Box<dyn Fn() -> f64 + Send + Sync>,
    ) -> Result<Self, prometheus::Error> {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let opts = Opts::new(name, help).const_labels(labels.collect());
        let desc = opts.describe()?;
        Ok(Self { kind, opts, desc, read })
    }
}

impl Collector for Observed {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let value = (self.read)();
        let opts = self.opts.clone();
        // The description was valid when this was made.
        match self.kind {
            Kind::Counter => Counter::with_opts(opts).map(|counter| {
                counter.inc_by(value);
                counter.collect()
            }),
            Kind::Gauge => Gauge::with_opts(opts).map(|gauge| {
                gauge.set(value);
                gauge.collect()
            }),
        }
        .unwrap_or_default()
    }
}
