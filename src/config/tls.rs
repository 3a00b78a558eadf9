//! `ca_file`, `client_cert_file` and `client_key_file` of a section: whom a connection trusts, and as
//! whom it shows itself.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use secrecy::{ExposeSecret, SecretString};

use super::problems::with_causes;
use super::read_file;
use super::reader::Section;
use crate::keys::certificates;

/// What the files of a section hold. `Debug` shows no key.
#[derive(Clone, Default)]
pub struct TlsFiles {
    /// The certificate authorities, as PEM, trusted in place of the public ones; `None`: the public
    /// ones.
    pub roots: Option<String>,
    /// The certificate shown to the server that asks for one (mutual TLS).
    pub identity: Option<Identity>,
}

/// A certificate with its chain, and the key to it, both as PEM (RFC 7468).
#[derive(Clone)]
pub struct Identity {
    /// The certificate first, then those that lead to the authority.
    pub chain: String,
    /// The private key: PKCS#8, PKCS#1 or SEC1.
    pub key: SecretString,
}

/// Why files that can be read are of no use for TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Something in them is not what it should be.
    #[error("the {0} in PEM cannot be read")]
    Unreadable(
        &'static str,
        #[source] Option<rustls::pki_types::pem::Error>,
    ),
    /// TLS refuses a certificate, or its key is not the one that belongs to it.
    #[error("a certificate or its key cannot be used")]
    Unusable(#[from] rustls::Error),
}

impl TlsFiles {
    /// Reads the three keys of a section, and checks that TLS can use what they name.
    pub(super) fn read(section: &mut Section<'_>, dir: &Path) -> Self {
        let roots = file(section, "ca_file", dir, authorities);
        let chain = file(section, "client_cert_file", dir, Ok);
        let key = file(section, "client_key_file", dir, |pem| Ok(pem.into()));
        for (one, other) in [
            ("client_cert_file", "client_key_file"),
            ("client_key_file", "client_cert_file"),
        ] {
            if section.has(one) && !section.has(other) {
                let message = format!("`{one}` is of no use without `{other}`");
                section.report.problem(section.place_of(one), message);
            }
        }
        let identity = chain.zip(key).map(|(chain, key)| Identity { chain, key });
        let files = Self { roots, identity };
        if let Err(error) = files.client_config() {
            let message = format!("`client_cert_file`: {}", with_causes(&error));
            let at = section.place_of("client_cert_file");
            section.report.problem(at, message);
        }
        files
    }

    /// Tells whether any of the files is given.
    pub fn given(&self) -> bool {
        self.roots.is_some() || self.identity.is_some()
    }

    /// Makes of them what a connection is opened with: TLS 1.2 or 1.3, certificates always verified.
    ///
    /// # Errors
    ///
    /// Certificate and key are not readable, or do not belong together.
    pub fn client_config(&self) -> Result<ClientConfig, TlsError> {
        let mut roots = RootCertStore::empty();
        match &self.roots {
            Some(given) => {
                for one in certificates_of(given)? {
                    roots.add(one)?;
                }
            }
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let Some(identity) = &self.identity else {
            return Ok(builder.with_no_client_auth());
        };
        let (chain, key) = identity.der()?;
        Ok(builder.with_client_auth_cert(chain, key)?)
    }
}

impl Identity {
    fn der(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
        let chain = certificates_of(&self.chain)?;
        let key = PrivateKeyDer::from_pem_slice(self.key.expose_secret().as_bytes())
            .map_err(|error| TlsError::Unreadable("key", Some(error)))?;
        Ok((chain, key))
    }
}

fn certificates_of(pem: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| TlsError::Unreadable("certificate", Some(error)))?;
    match read.is_empty() {
        true => Err(TlsError::Unreadable("certificate", None)),
        false => Ok(read),
    }
}

impl fmt::Debug for TlsFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let identity = self.identity.as_ref();
        f.debug_struct("TlsFiles")
            .field("roots", &self.roots)
            .field("client_cert", &identity.map(|identity| &identity.chain))
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("chain", &self.chain)
            .finish_non_exhaustive()
    }
}

/// Makes sure that it holds certificates, each of which TLS must be able to trust.
fn authorities(pem: String) -> Result<String, String> {
    let read = certificates(pem.as_bytes()).map_err(|error| with_causes(&error))?;
    let mut store = RootCertStore::empty();
    for certificate in read {
        let added = store.add(certificate);
        added.map_err(|error| with_causes(&TlsError::Unusable(error)))?;
    }
    Ok(pem)
}

/// Reads the file that a key names; `None` where there is none, or a problem was reported.
fn file<T>(
    section: &mut Section<'_>,
    key: &'static str,
    dir: &Path,
    parse: impl FnOnce(String) -> Result<T, String>,
) -> Option<T> {
    let text = section.text(key)?;
    match read_file(&dir.join(text.text)).and_then(parse) {
        Ok(read) => Some(read),
        Err(why) => {
            section.report.problem(text.at, format!("`{key}`: {why}"));
            None
        }
    }
}
