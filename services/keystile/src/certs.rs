//! `keystile certs`: the certificates of an installation whose roles run apart.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, Subcommand};
use keystile_contract::Identity;
use keystile_runtime::{
    SystemClock,
    certs::{self, Made, Request},
};

use crate::{advice::Advice, serve::role};

/// What can be done with certificates.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make the installation's certificate authority, unless it is there
    Init {
        /// Its folder: ca.pem, and ca-key.pem, which nobody but this command needs
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
    },
    /// Issue a certificate to a role or to a program that verifies keys, unless a good one is there
    Issue(Issue),
}

/// A certificate to issue.
#[derive(Debug, Args)]
pub struct Issue {
    /// The authority's folder
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The role whose process shows it
    #[arg(
        long,
        value_name = "ROLE",
        conflicts_with = "caller",
        required_unless_present = "caller"
    )]
    role: Option<String>,
    /// The program that shows it: letters, digits, `-`, `_` and `.`. Its files are
    /// caller-NAME.pem and caller-NAME-key.pem
    #[arg(long, value_name = "NAME")]
    caller: Option<String>,
    /// Where the certificate, its key and ca.pem are written [default: the authority's folder]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// A host name or address besides, for clients that check those; may be repeated. A role has
    /// its own name and loopback anyway
    #[arg(long, value_name = "HOST")]
    host: Vec<String>,
    /// How long it is valid. It is issued anew once less than a third is left
    #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3650))]
    days: u32,
}

/// Runs a command.
///
/// # Errors
/// What is missing or cannot be named; nothing is written then.
pub fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Init { dir } => match certs::init(&dir, &SystemClock)? {
            Made::New => say(&format!("made the authority in {}", dir.display())),
            Made::AlreadyThere => say(&format!("the authority is in {} already", dir.display())),
        },
        Command::Issue(issue) => issue.run(),
    }
}

impl Issue {
    fn run(&self) -> anyhow::Result<()> {
        let identity = self.identity()?;
        let out = self.out.as_deref().unwrap_or(&self.dir);
        let lifetime = Duration::from_hours(24 * u64::from(self.days));
        let request = Request { identity: &identity, hosts: &self.host, lifetime };
        let made =
            certs::issue(&self.dir, out, &request, &SystemClock).map_err(advised(&self.dir))?;
        let (what, out) = (identity.uri(), out.display());
        match made {
            Made::New => say(&format!("issued {what} into {out}, valid for {} days", self.days)),
            Made::AlreadyThere => say(&format!("{out} has a good certificate of {what} already")),
        }
    }

    fn identity(&self) -> anyhow::Result<Identity> {
        match (&self.role, &self.caller) {
            (Some(text), _) => Ok(Identity::Role(role(text)?)),
            (None, name) => {
                Identity::caller(name.as_deref().unwrap_or_default()).ok_or_else(|| {
                    let message = "that is no name for a caller";
                    Advice::new(message, "1 to 64 letters, digits, -, _ and .").into()
                })
            }
        }
    }
}

fn advised(dir: &Path) -> impl FnOnce(certs::Error) -> anyhow::Error + '_ {
    move |error| match error {
        certs::Error::NoAuthority(_) => {
            let hint = format!("keystile certs init --dir {}", dir.display());
            Advice::new(error.to_string(), hint).into()
        }
        other => other.into(),
    }
}

fn say(line: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}
