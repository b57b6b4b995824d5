//! `x-keystile-limits`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error as _};

/// How much the provider takes from one connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Requests at once, 1 to 100.
    pub concurrency: Option<u32>,
    /// Requests over time.
    pub rate: Option<Rate>,
}

/// So many requests in any such time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// 1 to 1,000,000.
    pub requests: u32,
    /// Whole seconds, up to a day.
    pub per: Duration,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Declared {
    concurrency: Option<u32>,
    requests: Option<u32>,
    per: Option<u32>,
}

impl<'de> Deserialize<'de> for ConnectionLimits {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Declared { concurrency, requests, per } = Declared::deserialize(from)?;
        if concurrency.is_some_and(|count| !(1..=100).contains(&count)) {
            return Err(D::Error::custom("concurrency is from 1 to 100"));
        }
        let rate = match (requests, per) {
            (None, None) => None,
            (Some(requests @ 1..=1_000_000), Some(seconds @ 1..=86_400)) => {
                Some(Rate { requests, per: Duration::from_secs(seconds.into()) })
            }
            (Some(_), Some(_)) => {
                let problem = "requests is from 1 to 1000000, per from 1 to 86400 seconds";
                return Err(D::Error::custom(problem));
            }
            (Some(_), None) | (None, Some(_)) => {
                return Err(D::Error::custom("requests and per go together"));
            }
        };
        Ok(Self { concurrency, rate })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(value: Value) -> Result<ConnectionLimits, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    #[test]
    fn a_rate_and_a_concurrency_stand_alone_or_together() {
        let rate = |requests, seconds| Some(Rate { requests, per: Duration::from_secs(seconds) });
        for (value, concurrency, rate) in [
            (json!({}), None, None),
            (json!({ "concurrency": 1 }), Some(1), None),
            (json!({ "concurrency": 100 }), Some(100), None),
            (json!({ "requests": 3, "per": 1 }), None, rate(3, 1)),
            (json!({ "requests": 1_000_000, "per": 86_400 }), None, rate(1_000_000, 86_400)),
            (json!({ "concurrency": 5, "requests": 1, "per": 60 }), Some(5), rate(1, 60)),
        ] {
            assert_eq!(read(value), Ok(ConnectionLimits { concurrency, rate }));
        }
    }

    #[test]
    fn a_limit_that_stops_everything_or_nothing_is_refused() {
        for (value, expected) in [
            (json!({ "concurrency": 0 }), "concurrency is from 1 to 100"),
            (json!({ "concurrency": 101 }), "concurrency is from 1 to 100"),
            (json!({ "concurrency": 1.5 }), "invalid type"),
            (json!({ "requests": 0, "per": 1 }), "requests is from 1"),
            (json!({ "requests": 1_000_001, "per": 1 }), "requests is from 1"),
            (json!({ "requests": 1, "per": 0 }), "requests is from 1"),
            (json!({ "requests": 1, "per": 86_401 }), "requests is from 1"),
            (json!({ "requests": 1 }), "go together"),
            (json!({ "per": 1 }), "go together"),
            (json!({ "request": 1 }), "unknown field"),
        ] {
            let error = read(value.clone()).expect_err("refused");
            assert!(error.contains(expected), "{value}: {error}");
        }
    }
}
