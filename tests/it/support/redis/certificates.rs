//! An authority of one's own, a server's certificate and a client's, in files.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
};
use tempfile::TempDir;

/// The files of one authority.
#[derive(Debug)]
pub(crate) struct Certificates {
    dir: TempDir,
    /// Whether the server demands the client's certificate.
    clients: bool,
}

impl Certificates {
    /// Makes a server's certificate for these names; `clients` have to show theirs.
    pub(crate) fn new(names: &[&str], clients: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = called(&dir.path().display().to_string());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let write = |name: &str, text: String| std::fs::write(dir.path().join(name), text).unwrap();
        write("ca.pem", pem("CERTIFICATE", ca.der()));
        for (file, names) in [("server", names), ("client", &["gateway"])] {
            let key = KeyPair::generate().unwrap();
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            let mut params = CertificateParams::new(names).unwrap();
            params.distinguished_name = called(file);
            let certificate = params.signed_by(&key, &ca).unwrap();
            write(
                &format!("{file}.pem"),
                pem("CERTIFICATE", certificate.der()),
            );
            write(
                &format!("{file}.key"),
                pem("PRIVATE KEY", key.serialized_der()),
            );
        }
        Self { dir, clients }
    }

    /// The file with the authority's certificate.
    pub(crate) fn ca(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// The file with the client's certificate.
    pub(crate) fn client_chain(&self) -> PathBuf {
        self.path("client.pem")
    }

    /// The file with the client's key.
    pub(crate) fn client_key(&self) -> PathBuf {
        self.path("client.key")
    }

    /// What a server is to be told: everything it connects to speaks TLS too.
    pub(super) fn settings(&self) -> String {
        let dir: &Path = self.dir.path();
        let dir = dir.display();
        let clients = if self.clients { "yes" } else { "no" };
        format!(
            "tls-cert-file {dir}/server.pem\ntls-key-file {dir}/server.key\n\
             tls-ca-cert-file {dir}/ca.pem\ntls-auth-clients {clients}\ntls-replication yes\n"
        )
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// A name of its own, because a certificate that is named as its issuer is taken for self-signed.
fn called(name: &str) -> DistinguishedName {
    let mut called = DistinguishedName::new();
    called.push(DnType::CommonName, name);
    called
}

fn pem(label: &str, der: &[u8]) -> String {
    let lines: Vec<String> = STANDARD
        .encode(der)
        .as_bytes()
        .chunks(64)
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect();
    let text = lines.join("\n");
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}
