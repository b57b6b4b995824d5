//! `keystile secrets`, as far as it works on the host's own files.

use std::{io::Write as _, path::Path};

use keystile_runtime::data_dir;

use crate::{Settings, serve::role, wire};

/// Makes the installation's secrets in the data directory, unless they are there.
///
/// # Errors
/// One is absent that a database there needs, or that others there were made with.
pub fn init(settings: &Settings) -> anyhow::Result<()> {
    wire::make_secrets(settings)?;
    let dir = settings.data_dir.join("secrets");
    writeln!(std::io::stdout(), "the secrets of the installation are in {}", dir.display())?;
    Ok(())
}

/// Prints what the role `name` needs of the installation's secrets as a configuration, or writes it
/// to `out` (0600).
///
/// # Errors
/// An unknown role; a secret that is missing here, too.
pub fn derive(settings: &Settings, name: &str, out: Option<&Path>) -> anyhow::Result<()> {
    let text = wire::derive_secrets(settings, role(name)?)?;
    match out {
        Some(path) => data_dir::write_private(path, &text)?,
        None => std::io::stdout().lock().write_all(text.as_bytes())?,
    }
    Ok(())
}
