//! `[[tenant]]`: what all endpoints of one tenant share. A tenant without such a section has none of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use super::Secrets;
use super::endpoint::{Endpoint, MAX_ENDPOINTS, name, taken};
use super::problems::{Report, quoted, with_causes};
use super::reader::Section;
use crate::sealing::Recipient;

/// Bytes that a key for pseudonyms has at least: 128 bits, even where each byte is a random one.
const MIN_PSEUDONYM_KEY: usize = 16;

/// What the endpoints of one tenant share. `Debug` shows no secret.
#[derive(Clone, Debug, Default)]
pub struct Tenant {
    /// The key of the pseudonyms that redaction puts in the place of values (HMAC-SHA256).
    pub pseudonym_key: Option<SecretString>,
    /// Whom the data of its signals is sealed to; `None`: it stays readable.
    pub seal_to: Option<Arc<Recipient>>,
}

/// The tenants that have a section, by name.
#[derive(Debug, Default)]
pub(super) struct Tenants {
    by_id: BTreeMap<String, Tenant>,
    /// Where each name is written.
    places: BTreeMap<String, usize>,
}

impl Tenants {
    /// Reads every `[[tenant]]`; what is wrong is reported.
    pub(super) fn read(sections: Vec<Section<'_>>, secrets: &Secrets<'_>) -> Self {
        let (mut known, mut tenants) = (BTreeMap::new(), Self::default());
        for mut section in sections {
            let id = section.required_text("id");
            let id = id.and_then(|text| {
                let id = section.parse_text("id", text, name)?;
                taken(&mut known, "id", &id, text.at, &section)?;
                Some(id)
            });
            let tenant = Tenant {
                pseudonym_key: pseudonym_key(&mut section, secrets),
                seal_to: seal_to(&mut section, secrets),
            };
            section.finish();
            if let Some(id) = id {
                tenants.by_id.insert(id, tenant);
            }
        }
        tenants.places = known;
        tenants
    }

    /// Warns of tenants that no endpoint belongs to: with a name that is misspelt, what such a section asks
    /// for would be missed by everything that is received.
    pub(super) fn report_unused(&self, endpoints: &[Arc<Endpoint>], report: &Report<'_>) {
        for (id, at) in &self.places {
            if !endpoints.iter().any(|endpoint| *endpoint.tenant == **id) {
                let message = format!("no endpoint belongs to the tenant {}", quoted(id));
                report.warning(*at, message);
            }
        }
    }

    /// Returns what the endpoints of a tenant share.
    pub(super) fn get(&self, id: &str) -> Tenant {
        self.by_id.get(id).cloned().unwrap_or_default()
    }
}

/// How many tenants may have a section: no more than there can be endpoints.
pub(super) const MAX_TENANTS: usize = MAX_ENDPOINTS;

fn pseudonym_key(section: &mut Section<'_>, secrets: &Secrets<'_>) -> Option<SecretString> {
    let text = section.text("pseudonym_key")?;
    let key = secrets.find("pseudonym_key", text)?;
    if key.expose_secret().len() < MIN_PSEUDONYM_KEY {
        let message = format!(
            "`pseudonym_key` has fewer than {MIN_PSEUDONYM_KEY} bytes, and could be guessed; make \
             one with `openssl rand -hex 32`"
        );
        section.report.problem(text.at, message);
        return None;
    }
    Some(key)
}

/// Reads the worker's public key. It is no secret, and it is kept and watched like one.
fn seal_to(section: &mut Section<'_>, secrets: &Secrets<'_>) -> Option<Arc<Recipient>> {
    let text = section.text("seal_to")?;
    let found = secrets.find("seal_to", text)?;
    match Recipient::parse(found.expose_secret()) {
        Ok(recipient) => Some(Arc::new(recipient)),
        Err(error) => {
            let message = format!("`seal_to` refers to a value that {}", with_causes(&error));
            section.report.problem(text.at, message);
            None
        }
    }
}
