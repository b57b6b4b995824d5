//! Compiles `proto/` without protoc.

use std::{error::Error, fs, path::Path};

use prost::Message;

/// Messages that carry a token, a credential, a hash or a seal: their `Debug` is written by hand in
/// `redacted.rs` and shows none of it.
const SECRET_MESSAGES: &[&str] = &[
    ".keystile.common.v1.Sealed",
    ".keystile.issuance.v1.CreateKeyResponse",
    ".keystile.issuance.v1.RegenerateKeyResponse",
    ".keystile.issuance.v1.RotateKeyResponse",
    ".keystile.issuance.v1.SecretFacts",
    ".keystile.verification.v1.VerifyRequest",
    ".keystile.vault.v1.StaticCredential",
    ".keystile.vault.v1.BasicCredential",
    ".keystile.vault.v1.FieldsCredential",
    ".keystile.vault.v1.CreateIntegrationRequest",
    ".keystile.vault.v1.UpdateIntegrationRequest",
    ".keystile.vault.v1.StartConnectResponse",
    ".keystile.vault.v1.OpenConnectRequest",
    ".keystile.vault.v1.OpenConnectResponse",
    ".keystile.vault.v1.BeginConnectRequest",
    ".keystile.vault.v1.BeginConnectResponse",
    ".keystile.vault.v1.CompleteConnectRequest",
    ".keystile.vault.v1.RunActionRequest",
    ".keystile.vault.v1.RunActionResponse",
];

#[expect(clippy::disallowed_methods, reason = "cargo says where to write by environment")]
fn main() -> Result<(), Box<dyn Error>> {
    // Cargo runs this in the package's folder, wherever the tree was when this was compiled.
    let root = Path::new("../../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let mut files = Vec::new();
    for package in fs::read_dir(root.join("keystile"))? {
        for file in fs::read_dir(package?.path().join("v1"))? {
            files.push(file?.path());
        }
    }
    files.sort();
    let mut compiler = protox::Compiler::new([root])?;
    compiler.include_imports(true).include_source_info(true).open_files(files)?;
    let descriptors = compiler.file_descriptor_set();
    let out = Path::new(&std::env::var("OUT_DIR")?).join("descriptors.bin");
    fs::write(out, descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .build_transport(false)
        .skip_debug(SECRET_MESSAGES)
        .compile_fds(descriptors)?;
    Ok(())
}
