//! Configuration: one TOML file, then `KEYSTILE_<SECTION>__<FIELD>`, then flags.

mod deserialize;
mod layers;

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

pub use deserialize::Error as ValueError;
use layers::{Node, Origin};
use zeroize::Zeroizing;

/// What every variable begins with.
const PREFIX: &str = "KEYSTILE_";
/// Variables that `keystile dev` writes for the shell to use. They configure nothing.
const NOT_OURS: &str = "KEYSTILE_DEMO_";
/// Names the file, where no flag does.
const FILE_VARIABLE: &str = "KEYSTILE_CONFIG";

/// A field set on the command line.
#[derive(Debug, Clone)]
pub struct Flag {
    /// The option as the person typed it, `--data-dir`.
    pub name: &'static str,
    /// The field, `gateway.listen`.
    pub field: &'static str,
    /// The text.
    pub value: String,
}

/// The configuration is not usable.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{}:{line}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// What is wrong there, without the text, which may be a secret.
        message: String,
    },
    /// A variable's name is not one of configuration.
    #[error("the environment variable {0} names no field")]
    Variable(String),
    /// A field is unknown or has another form.
    #[error(transparent)]
    Value(#[from] ValueError),
}

/// Reads a `T` from `file`, or else the file that `KEYSTILE_CONFIG` names, this process's environment
/// and `flags`, the later winning field by field. Text from variables and flags becomes what the
/// field is: numbers, switches, and lists separated by commas.
///
/// # Errors
/// [`Error`] names the field and where it came from; unknown fields are errors.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub fn load<T: DeserializeOwned>(file: Option<&Path>, flags: &[Flag]) -> Result<T, Error> {
    let named = std::env::var_os(FILE_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    let variables = std::env::vars_os().filter_map(|(name, value)| {
        // What is not UTF-8 is not ours; other programs' variables are theirs.
        Some((name.into_string().ok()?, value.into_string().ok()?))
    });
    load_from(file.or(named.as_deref()), variables, flags)
}

/// The same from a given file and environment.
///
/// # Errors
/// As [`load`].
pub fn load_from<T: DeserializeOwned>(
    file: Option<&Path>,
    variables: impl IntoIterator<Item = (String, String)>,
    flags: &[Flag],
) -> Result<T, Error> {
    let mut root = file.map_or_else(|| Ok(Node::default()), read)?;
    for (name, value) in variables {
        let Some(field) = name.strip_prefix(PREFIX) else { continue };
        if name.starts_with(NOT_OURS) || name == FILE_VARIABLE {
            continue;
        }
        let path: Vec<_> = field.split("__").map(str::to_ascii_lowercase).collect();
        if path.iter().any(String::is_empty) {
            return Err(Error::Variable(name));
        }
        root.set(&path, value, &Origin::Variable(name));
    }
    for flag in flags {
        let path: Vec<_> = flag.field.split('.').map(str::to_owned).collect();
        root.set(&path, flag.value.clone(), &Origin::Flag(flag.name));
    }
    Ok(deserialize::from(&root)?)
}

fn read(path: &Path) -> Result<Node, Error> {
    let text = std::fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|cause| Error::Read { path: path.to_owned(), cause })?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        let at = error.span().map_or(0, |span| span.start);
        let line = 1 + text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count();
        Error::Syntax { path: path.to_owned(), line, message: error.message().to_owned() }
    })?;
    Ok(Node::of(toml::Value::Table(table), &Origin::File(path.to_owned())))
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, net::SocketAddr};

    use secrecy::{ExposeSecret as _, SecretString};
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Settings {
        data_dir: PathBuf,
        gateway: Gateway,
        vault: Vault,
    }

    impl Default for Settings {
        fn default() -> Self {
            Self {
                data_dir: ".keystile".into(),
                gateway: Gateway::default(),
                vault: Vault::default(),
            }
        }
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Gateway {
        listen: Option<SocketAddr>,
        trusted_proxies: Vec<ipnet::IpNet>,
        workers: u32,
        ratio: f64,
        docs: bool,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Vault {
        kek: Option<SecretString>,
        mode: Mode,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(rename_all = "snake_case")]
    enum Mode {
        #[default]
        Open,
        HalfOpen,
    }

    fn load(file: &str, env: &[(&str, &str)], flags: &[Flag]) -> Result<Settings, String> {
        let mut on_disk = tempfile::NamedTempFile::new().expect("a file");
        on_disk.write_all(file.as_bytes()).expect("writes");
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        load_from(Some(on_disk.path()), env, flags).map_err(|error| {
            error.to_string().replace(&on_disk.path().display().to_string(), "keystile.toml")
        })
    }

    #[test]
    fn defaults_run_without_anything() {
        let settings: Settings = load_from(None, [], &[]).expect("loads");
        assert_eq!(settings.data_dir, Path::new(".keystile"));
    }

    #[test]
    fn the_environment_wins_over_the_file_and_flags_over_both() {
        let file = "data_dir = 'a'\n[gateway]\nworkers = 1\nratio = 1\ntrusted_proxies = ['::/0']";
        let env = [
            ("KEYSTILE_DATA_DIR", "b"),
            ("KEYSTILE_GATEWAY__WORKERS", "2"),
            ("KEYSTILE_GATEWAY__RATIO", "0.5"),
            ("KEYSTILE_GATEWAY__DOCS", "true"),
            ("KEYSTILE_GATEWAY__LISTEN", "127.0.0.1:8080"),
            ("KEYSTILE_GATEWAY__TRUSTED_PROXIES", "10.0.0.0/8, fd00::/8"),
            ("KEYSTILE_VAULT__KEK", "1234"),
            ("KEYSTILE_VAULT__MODE", "half_open"),
            ("KEYSTILE_DEMO_TOKEN", "ks_dev_…"),
            ("PATH", "/bin"),
        ];
        let flag = Flag { name: "--data-dir", field: "data_dir", value: "c".into() };
        let settings = load(file, &env, &[flag]).expect("loads");
        assert_eq!(settings.data_dir, Path::new("c"));
        assert_eq!(settings.gateway.workers, 2);
        assert!((settings.gateway.ratio - 0.5).abs() < 1e-9 && settings.gateway.docs);
        assert_eq!(settings.gateway.listen, "127.0.0.1:8080".parse().ok());
        assert_eq!(settings.gateway.trusted_proxies.len(), 2);
        assert_eq!(settings.vault.kek.expect("set").expose_secret(), "1234");
        assert_eq!(settings.vault.mode, Mode::HalfOpen);
    }

    #[test]
    fn an_empty_variable_clears_a_list_and_an_option() {
        let file = "[gateway]\nlisten = '127.0.0.1:1'\ntrusted_proxies = ['::/0']";
        let env = [("KEYSTILE_GATEWAY__LISTEN", ""), ("KEYSTILE_GATEWAY__TRUSTED_PROXIES", "")];
        let settings = load(file, &env, &[]).expect("loads");
        assert_eq!(settings.gateway.listen, None);
        assert!(settings.gateway.trusted_proxies.is_empty());
    }

    #[test]
    fn an_error_names_the_field_and_where_it_came_from() {
        let in_file = [
            ("[gatewy]\nlisten = 1", "`gatewy` in keystile.toml: is unknown"),
            ("[gateway]\nlistn = 1", "`gateway.listn` in keystile.toml: is unknown"),
            ("gateway = 1", "`gateway` in keystile.toml: must be a section"),
            (
                "[gateway]\nworkers = 'x'",
                "`gateway.workers` in keystile.toml: must be a whole number from 0 to 4294967295",
            ),
            (
                "[gateway]\nworkers = -1",
                "`gateway.workers` in keystile.toml: must be a whole number from 0 to 4294967295",
            ),
            (
                "[gateway]\ntrusted_proxies = ['::/0', 'x']",
                "`gateway.trusted_proxies.1` in keystile.toml: ",
            ),
            ("[gateway\n", "keystile.toml:1: "),
        ];
        for (file, says) in in_file {
            let said = load(file, &[], &[]).expect_err("refuses");
            assert!(said.starts_with(says), "{said}");
        }
        let in_env = [
            ("KEYSTILE_GATEWAY__LISTN", "is unknown"),
            ("KEYSTILE_GATEWAY__WORKERS", "must be a whole number from 0 to 4294967295"),
            ("KEYSTILE_GATEWAY__DOCS", "must be true or false"),
            ("KEYSTILE_GATEWAY", "must be a section"),
            ("KEYSTILE_GATEWAY__LISTEN__PORT", ""),
            ("KEYSTILE_SERVICE_HOST", "is unknown"),
            ("KEYSTILE_GATEWAY__", "names no field"),
        ];
        for (name, says) in in_env {
            let said = load("", &[(name, "hunter2")], &[]).expect_err("refuses");
            assert!(said.contains(name) && said.ends_with(says), "{said}");
        }
        let flag = Flag { name: "--workers", field: "gateway.workers", value: "x".into() };
        let said = load("", &[], &[flag]).expect_err("refuses");
        assert!(said.starts_with("`gateway.workers` from --workers: must be a whole"), "{said}");
    }

    #[test]
    fn an_error_never_repeats_a_value() {
        let files = ["[vault]\nkek = ['hunter2']", "[vault]\nkek = 'hunter2", "vault = 'hunter2'"];
        for file in files {
            let said = load(file, &[], &[]).expect_err("refuses");
            assert!(!said.contains("hunter2"), "{said}");
        }
        let said = load("", &[("KEYSTILE_VAULT__MODE", "hunter2")], &[]).expect_err("refuses");
        assert!(!said.contains("hunter2") && said.contains("half_open"), "{said}");
    }
}
