//! The samples of `deploy/config`.

use std::{fs, path::Path};

use keystile::Settings;
use keystile_runtime::config;

#[test]
fn every_sample_parses_and_every_default_that_it_shows_is_a_field() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/config");
    let mut samples = 0;
    for sample in fs::read_dir(folder).expect("readable") {
        let sample = sample.expect("readable").path();
        let settings: Settings = config::load_from(Some(&sample), [], &[]).expect("parses");
        assert_ne!(settings.data_dir, Settings::default().data_dir, "the sample was read");

        // What is commented out must be right as well: only secrets are left to the reader.
        let text = fs::read_to_string(&sample).expect("readable");
        let shown: Vec<_> = text
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(field) if field.contains(" = ") && !field.contains('…') => field,
                _ => line,
            })
            .collect();
        let whole = tempfile::NamedTempFile::new().expect("a file");
        fs::write(whole.path(), shown.join("\n")).expect("writes");
        let settings: Settings = config::load_from(Some(whole.path()), [], &[]).expect("parses");
        assert_eq!(settings.vault.allow.sockets.len(), 1, "the commented lines were read");
        samples += 1;
    }
    assert!(samples >= 1);
}
