//! What a newcomer reads first.

use std::{
    io::{IsTerminal as _, Write as _},
    net::SocketAddr,
    path::Path,
};

use keystile_runtime::http::local;

use super::demo;

/// Where each part listens.
#[derive(Debug, Clone, Copy)]
pub(super) struct At {
    pub(super) gateway: SocketAddr,
    pub(super) console: SocketAddr,
    pub(super) verification: SocketAddr,
    pub(super) telemetry: SocketAddr,
}

/// Prints where things listen and three commands to try.
pub(super) fn print(at: At, data_dir: &Path) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let bold = out.is_terminal();
    out.write_all(screen(at, data_dir, bold).as_bytes())?;
    out.flush()
}

fn screen(at: At, data_dir: &Path, bold: bool) -> String {
    let heading = |text: &str| if bold { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() };
    let gateway = base(at.gateway);
    let console = base(at.console);
    let telemetry = base(at.telemetry);
    let source = format!(". {}", quoted(&data_dir.join(demo::FILE)));
    let curl =
        format!("{source} && curl -sS -w '\\n' -H \"Authorization: Bearer $KEYSTILE_DEMO_TOKEN\"");
    let run = format!("{gateway}/api/v1/components");
    let json = "-H 'Content-Type: application/json'";
    let data_dir = data_dir.display();
    format!(
        "\
{title} {version} runs with everything in {data_dir}. Ctrl-C stops it.

  gateway       {gateway:<26} REST for programs, described at /docs
  console       {console:<26} REST for people and `keystile keys …`, at /api/manage/v1
  verification  {verification:<26} gRPC, for callers on this machine
  telemetry     {telemetry:<26} /healthz, /readyz and /metrics

The demo key may list and create notes in the sandbox app. Its token is in {data_dir}/{file}.

{discover}
{curl} {run}/list

{act}
{curl} {json} -d '{{\"inputs\":{{\"title\":\"Buy milk\"}}}}' {run}/action.sandbox.create-note/run

{refused}
{curl} {json} -d '{{\"inputs\":{{\"noteId\":\"note_1\"}}}}' {run}/action.sandbox.delete-note/run
",
        title = heading("Keystile"),
        version = env!("CARGO_PKG_VERSION"),
        verification = local(at.verification),
        file = demo::FILE,
        discover = heading("# What may this key do?"),
        act = heading("# Run an action:"),
        refused = heading("# Run one that the key may not (403):"),
    )
}

fn base(listen: SocketAddr) -> String {
    format!("http://{}", local(listen))
}

/// A path as a POSIX shell reads it. One without a slash would be looked up in `PATH`.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+".contains(&byte);
    if text.bytes().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(gateway: &str) -> At {
        let addr = |text: &str| text.parse().expect("an address");
        At {
            gateway: addr(gateway),
            console: addr("127.0.0.1:8081"),
            verification: addr("127.0.0.1:8090"),
            telemetry: addr("127.0.0.1:9090"),
        }
    }

    #[test]
    fn three_commands_can_be_pasted_and_show_no_secret() {
        let text = screen(at("0.0.0.0:8080"), Path::new(".keystile"), false);
        let commands: Vec<_> = text.lines().filter(|line| line.contains("curl")).collect();
        assert_eq!(commands.len(), 3);
        for command in commands {
            assert!(command.starts_with(". .keystile/demo.env && curl "), "{command}");
            assert!(command.contains("http://127.0.0.1:8080/api/v1/components/"), "{command}");
        }
        assert!(!text.contains("ks_dev_") && !text.contains("ksm_"), "{text}");
    }

    #[test]
    fn an_odd_path_is_quoted() {
        assert_eq!(quoted(Path::new("it's here/demo.env")), "'it'\\''s here/demo.env'");
    }
}
