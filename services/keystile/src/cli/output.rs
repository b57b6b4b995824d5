//! What commands print: tables for people, the API's JSON for programs.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use anyhow::bail;
use comfy_table::{ContentArrangement, Table, TableStyle};
use serde::Deserialize;
use serde_json::Value;
use time::OffsetDateTime;

use super::{client::Answer, when};

/// How to print.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    /// For a program.
    pub(super) json: bool,
    /// The time that relative times are told from.
    pub(super) now: OffsetDateTime,
}

/// What a cut waited for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Receipt {
    acknowledged: u32,
    waited_out: u32,
    elapsed_ms: u64,
}

impl Receipt {
    /// How long it took until what was cut was refused everywhere.
    pub(super) fn in_force(&self) -> String {
        match self.waited_out {
            0 => format!("{} ms", self.elapsed_ms),
            count => format!("{} ms, {count} waited out", self.elapsed_ms),
        }
    }
}

/// How a change ended.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Outcome {
    status: String,
    operation_id: String,
    receipt: Option<Receipt>,
}

impl Outcome {
    /// One line: what is known about who still accepts what was cut.
    pub(super) fn line(&self) -> String {
        if self.status != "done" {
            let operation = &self.operation_id;
            return format!(
                "PENDING: not every node has acknowledged it; wait for it with `keystile cuts \
                 show {operation}`"
            );
        }
        let Some(receipt) = &self.receipt else { return "done".to_owned() };
        let nodes = plural(receipt.acknowledged, "node");
        let waited = match receipt.waited_out {
            0 => String::new(),
            count => format!(", and {} waited out", plural(count, "lease")),
        };
        format!("refused everywhere in {} ms by {nodes}{waited}", receipt.elapsed_ms)
    }
}

fn plural(count: u32, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

impl Output {
    /// The API's JSON for a program, else the text of `human`.
    pub(super) fn show(
        self,
        answer: &Answer,
        human: impl FnOnce(Self) -> anyhow::Result<String>,
    ) -> anyhow::Result<()> {
        if self.json { print_json(&answer.body) } else { print(&human(self)?) }
    }

    /// How a change ended, one line.
    pub(super) fn outcome(self, answer: &Answer) -> anyhow::Result<()> {
        self.show(answer, |_| Ok(answer.read::<Outcome>()?.line()))
    }

    /// A secret that is shown once: alone on standard output, and what it is on standard error.
    pub(super) fn secret(self, answer: &Answer, what: &str, about: &str) -> anyhow::Result<()> {
        eprintln!("{about}\n{what} is shown once and cannot be shown again: store it now.");
        if self.json {
            return print_json(&answer.body);
        }
        let Some(token) = answer.body.get("token").and_then(Value::as_str) else {
            bail!("the server's answer has no token");
        };
        print(token)
    }

    /// A time of the API, from now.
    pub(super) fn ago(self, at: &str) -> String {
        when::instant(at).map_or_else(|_| at.to_owned(), |at| when::relative(at, self.now))
    }
}

fn print_json(body: &Value) -> anyhow::Result<()> {
    print(&serde_json::to_string_pretty(body)?)
}

/// A line on standard output. A reader that has seen enough is no error.
fn print(text: &str) -> anyhow::Result<()> {
    match writeln!(io::stdout().lock(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Text from elsewhere, without what a terminal would obey.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Rows under a header, or `empty` if there are none; and how to see more.
pub(super) fn table<const N: usize>(
    header: [&str; N],
    rows: Vec<[String; N]>,
    empty: &str,
    next_cursor: Option<&str>,
) -> String {
    if rows.is_empty() && next_cursor.is_none() {
        return empty.to_owned();
    }
    let mut table = Table::new();
    table.load_style(TableStyle::new()).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header);
    for row in rows {
        table.add_row(row.map(|cell| plain(&cell)));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines = table.lines().map(|line| line.trim_end().to_owned());
    let text = lines.collect::<Vec<_>>().join("\n");
    match next_cursor {
        Some(cursor) => format!("{text}\nmore: --cursor {cursor}"),
        None => text,
    }
}

/// Names and values, one a line.
pub(super) fn facts(facts: &[(&str, String)]) -> String {
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let lines = facts.iter().map(|(name, value)| format!("{name:<width$}  {}", plain(value)));
    lines.collect::<Vec<_>>().join("\n")
}

/// A fact with several values, one a line.
pub(super) fn several<'a>(name: &'a str, values: &[impl AsRef<str>]) -> Vec<(&'a str, String)> {
    if values.is_empty() {
        return vec![(name, "none".to_owned())];
    }
    let names = std::iter::once(name).chain(std::iter::repeat(""));
    names.zip(values).map(|(name, value)| (name, value.as_ref().to_owned())).collect()
}

/// Asks on a terminal before something that cannot be undone, unless told `yes`.
pub(super) fn confirm(question: &str, yes: bool) -> anyhow::Result<()> {
    if yes || !io::stdin().is_terminal() {
        return Ok(());
    }
    eprint!("{question} [y/N] ");
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
        Ok(())
    } else {
        bail!("nothing was changed")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_receipt_is_one_line() {
        let line = |body: Value| serde_json::from_value::<Outcome>(body).expect("reads").line();
        let receipt = json!({"seq": 9, "acknowledged": 3, "waitedOut": 0, "elapsedMs": 3});
        assert_eq!(
            line(json!({"status": "done", "operationId": "op_1", "receipt": receipt})),
            "refused everywhere in 3 ms by 3 nodes"
        );
        let receipt = json!({"seq": 9, "acknowledged": 1, "waitedOut": 1, "elapsedMs": 2100});
        assert_eq!(
            line(json!({"status": "done", "operationId": "op_1", "receipt": receipt})),
            "refused everywhere in 2100 ms by 1 node, and 1 lease waited out"
        );
        let pending = line(json!({"status": "pending", "operationId": "op_1", "receipt": null}));
        assert!(pending.ends_with("`keystile cuts show op_1`"), "{pending}");
    }

    #[test]
    fn a_table_has_no_borders_and_obeys_no_control_characters() {
        let rows = vec![["a\u{1b}[31m".to_owned(), "1".to_owned()], ["bb".into(), "2".into()]];
        assert_eq!(table(["NAME", "N"], rows, "none", None), "NAME    N\na [31m  1\nbb      2");
        assert_eq!(table(["NAME"], vec![], "no keys", None), "no keys");
    }
}
