//! `keystile audit`.

use clap::Args;
use reqwest::Method;
use serde::Deserialize;

use super::{
    client::Client,
    output::{self, Output, Receipt},
};

/// A page of the trail.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Only changes of this id
    #[arg(long, value_name = "ID")]
    subject: Option<String>,
    /// At most this many
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=200))]
    limit: Option<u32>,
    /// Where the page before ended
    #[arg(long)]
    cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    items: Vec<Entry>,
    next_cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    at: String,
    actor_label: String,
    action: String,
    subject_id: String,
    subject_label: String,
    source_ip: Option<String>,
    receipt: Option<Receipt>,
}

pub(super) async fn run(
    arguments: Arguments,
    client: &Client,
    output: Output,
) -> anyhow::Result<()> {
    let limit = arguments.limit.map(|limit| limit.to_string());
    let query =
        [("subject", arguments.subject), ("page_size", limit), ("cursor", arguments.cursor)];
    let query: Vec<_> =
        query.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let answer = client.manage(Method::GET, &["audit"], &query, None).await?;
    output.show(&answer, |output| {
        let page: Page = answer.read()?;
        let rows = page.items.into_iter().map(|entry| {
            let subject = format!("{} ({})", entry.subject_id, entry.subject_label);
            let from = entry.source_ip.unwrap_or_else(|| "-".to_owned());
            let in_force =
                entry.receipt.map_or_else(|| "-".to_owned(), |receipt| receipt.in_force());
            [output.ago(&entry.at), entry.action, in_force, subject, entry.actor_label, from]
        });
        Ok(output::table(
            ["WHEN", "WHAT", "IN FORCE", "OF", "BY", "FROM"],
            rows.collect(),
            "no changes",
            page.next_cursor.as_deref(),
        ))
    })
}
