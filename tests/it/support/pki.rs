//! An authority of a test's own, with a server and a client that it vouches for, as PEM files.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// The files, in a directory that belongs to somebody else.
#[derive(Clone, Debug)]
pub(crate) struct Pki {
    dir: PathBuf,
}

impl Pki {
    /// Writes `ca.pem`, and a certificate with its key for `server` (`localhost` and 127.0.0.1) and for
    /// `client`.
    pub(crate) fn write(dir: &Path) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let pki = Self {
            dir: dir.to_owned(),
        };
        pki.write_pem("ca.pem", "CERTIFICATE", authority.der());
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        for (name, names) in [
            ("server", names.to_vec()),
            ("client", vec!["client".to_owned()]),
        ] {
            let key = KeyPair::generate().unwrap();
            let mut leaf = CertificateParams::new(names).unwrap();
            // One that bears the authority's name would pass for signed by itself.
            leaf.distinguished_name.push(DnType::CommonName, name);
            let leaf = leaf.signed_by(&key, &authority).unwrap();
            pki.write_pem(&format!("{name}.pem"), "CERTIFICATE", leaf.der());
            pki.write_pem(&format!("{name}.key"), "PRIVATE KEY", &key.serialize_der());
        }
        pki
    }

    /// Returns the path of a file.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn write_pem(&self, name: &str, label: &str, der: &[u8]) {
        let text = STANDARD.encode(der);
        let lines: Vec<&str> = (0..text.len())
            .step_by(64)
            .map(|at| &text[at..text.len().min(at + 64)])
            .collect();
        let lines = lines.join("\n");
        let pem = format!("-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n");
        std::fs::write(self.file(name), pem).unwrap();
    }
}
