//! What commands are given besides words: secrets in files, and pairs. A secret on the command line
//! would be seen by every process of this machine.

use std::{fs, io, io::Read as _, path::Path};

use anyhow::{Context as _, bail};
use serde_json::{Map, Value, json};

/// The text of a file without its line end; `-` is standard input.
pub(super) fn secret(file: &str) -> anyhow::Result<String> {
    let mut text = String::new();
    let name = if file == "-" {
        io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
        "standard input"
    } else {
        text =
            fs::read_to_string(Path::new(file)).with_context(|| format!("cannot read {file}"))?;
        file
    };
    let text = text.trim_end_matches(['\n', '\r']);
    if text.is_empty() {
        bail!("{name} is empty");
    }
    Ok(text.to_owned())
}

/// `NAME=VALUE` of the option `--variable` as an object.
pub(super) fn variables(given: &[String]) -> anyhow::Result<Value> {
    object("variable", "VALUE", given, |value| Ok(value.to_owned()))
}

/// `NAME=FILE` of the option `--field` as an object of the files' texts.
pub(super) fn fields(given: &[String]) -> anyhow::Result<Value> {
    object("field", "FILE", given, secret)
}

fn object(
    option: &str,
    right: &str,
    given: &[String],
    read: impl Fn(&str) -> anyhow::Result<String>,
) -> anyhow::Result<Value> {
    let mut object = Map::new();
    for text in given {
        // What was meant as a file may be the secret itself: it is not repeated.
        let Some((name, value)) = text.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            bail!("--{option}: expected NAME={right}");
        };
        if object.contains_key(name) {
            bail!("--{option} {name}: given twice");
        }
        object.insert(name.to_owned(), json!(read(value)?));
    }
    Ok(Value::Object(object))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_a_files_text_without_its_line_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        fs::write(&path, " s3cret \r\n").expect("written");
        let file = path.display().to_string();
        assert_eq!(secret(&file).expect("reads"), " s3cret ");
        let given = [format!("api-key={file}"), format!("site={file}")];
        let expected = json!({ "api-key": " s3cret ", "site": " s3cret " });
        assert_eq!(fields(&given).expect("reads"), expected);
        fs::write(&path, "\n").expect("written");
        assert!(secret(&file).is_err());
        assert!(secret("/nonexistent/file").is_err());
    }

    #[test]
    fn a_variable_is_a_name_and_a_value() {
        let given = ["shop=acme=1".to_owned()];
        assert_eq!(variables(&given).expect("reads"), json!({ "shop": "acme=1" }));
        for given in [&["shop"][..], &["=acme"], &["shop=a", "shop=b"]] {
            let given: Vec<_> = given.iter().map(|&text| text.to_owned()).collect();
            assert!(variables(&given).is_err(), "{given:?}");
        }
        let told = fields(&["s3cret".to_owned()]).expect_err("no name").to_string();
        assert!(!told.contains("s3cret"), "{told}");
    }
}
