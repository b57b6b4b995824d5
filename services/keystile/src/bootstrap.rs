//! `keystile bootstrap`: the first owner of a team.

use std::io::Write as _;

use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::{Settings, wire};

/// Makes the team `team`, its owner `email` and a management token, and prints them once: as text,
/// or as one JSON object.
///
/// # Errors
/// The address is taken or not one; the installation is running or cannot be opened.
pub async fn run(settings: &Settings, email: &str, team: &str, json: bool) -> anyhow::Result<()> {
    let (_held, services) = wire::idle(settings).await?;
    let made = services.console.bootstrap(email, team).await?;
    let (password, token) = (made.password.expose_secret(), made.token.expose_secret());
    let mut out = std::io::stdout().lock();
    if json {
        let made = json!({
            "teamId": made.team.to_string(),
            "userId": made.user.to_string(),
            "email": email,
            "password": password,
            "token": token,
        });
        writeln!(out, "{made}")?;
    } else {
        writeln!(out, "team              {}", made.team)?;
        writeln!(out, "owner             {email} ({})", made.user)?;
        writeln!(out, "password          {password}")?;
        writeln!(out, "management token  {token}")?;
        writeln!(out, "\nPassword and token are shown this once. Keep them safe.")?;
    }
    Ok(())
}
