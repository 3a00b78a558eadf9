//! Recognises secrets and personal data by how they look, wherever they stand.
//!
//! Part of the step `redact`: rules of names and paths take out what is known to be sensitive, and
//! the detectors what nobody expected there: a token in a commit message, a password in a URL, a
//! card number in a note. `docs/DETECTORS.md` lists them, with how often they are wrong.
//!
//! One scan serves both a whole body ([`Detectors::suspects`]) and a single text
//! ([`Detectors::find`]), so that neither can miss what the other sees. It takes a few passes, each
//! after rare bytes or literals, and judges what is around them. Everything is linear: a run of bytes
//! is read once for each set of bytes, however many beginnings are within it.

mod authorization;
mod contact;
mod literals;
mod payment;
mod rounds;
mod shapes;
mod text;
mod tokens;
mod urls;
mod words;

use std::ops::Range;

use literals::Clue;
use text::Runs;
use tokens::{LOOSE, TOKENS};

/// Which detectors look at values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Detecting {
    /// Keys, tokens and passwords.
    pub secrets: bool,
    /// Numbers of cards and bank accounts.
    pub payment: bool,
    /// E-mail addresses.
    pub email: bool,
    /// Telephone numbers with a country code.
    pub phone: bool,
    /// Addresses of IP, both versions.
    pub ip: bool,
}

impl Detecting {
    /// All of them.
    pub const ALL: Self = Self {
        secrets: true,
        payment: true,
        email: true,
        phone: true,
        ip: true,
    };
}

/// What was found, in bytes of the text. Never overlapping, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it begins.
    pub start: usize,
    /// Where what follows it begins.
    pub end: usize,
    /// The name of the detector; of the first, if several found parts of it.
    pub detector: &'static str,
}

/// Which switch of [`Detecting`] a detector belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// [`Detecting::secrets`].
    Secrets,
    /// [`Detecting::payment`].
    Payment,
    /// [`Detecting::email`].
    Email,
    /// [`Detecting::phone`].
    Phone,
    /// [`Detecting::ip`].
    Ip,
}

/// A detector, as documents and commands name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Detector {
    /// Its name, which [`Found`] carries.
    pub name: &'static str,
    /// What switches it on.
    pub group: Group,
    /// What it finds.
    pub what: &'static str,
}

/// The detectors that no table of formats lists.
#[rustfmt::skip]
const SHAPED: &[Detector] = &[
    secret("airtable_token", "Airtable personal access tokens"),
    secret("authorization", "credentials behind `Bearer`, `Basic` or `Token`, and in `Authorization:` lines"),
    secret("discord_token", "Discord bot tokens"),
    secret("entra_secret", "client secrets of Microsoft Entra"),
    secret("jwt", "JSON web tokens, signed and encrypted"),
    secret("private_key", "private keys in PEM and OpenPGP armour, whole, cut or not"),
    secret("telegram_token", "Telegram bot tokens"),
    secret("terraform_token", "HCP Terraform tokens"),
    secret("url_parameter", "values of URL parameters, and of `name=value` in texts, whose name tells a credential"),
    secret("url_password", "passwords in URLs (`user:password@`), and users that look drawn"),
    secret("webhook_url", "paths of webhook URLs of Discord, Slack, Teams and Zapier"),
    Detector { name: "card", group: Group::Payment, what: "numbers of payment cards (issuer, length, Luhn)" },
    Detector { name: "iban", group: Group::Payment, what: "bank account numbers (country, length, MOD 97)" },
    Detector { name: "email", group: Group::Email, what: "e-mail addresses" },
    Detector { name: "phone", group: Group::Phone, what: "telephone numbers that begin with `+`" },
    Detector { name: "ip", group: Group::Ip, what: "addresses of IPv4 and IPv6" },
];

const fn secret(name: &'static str, what: &'static str) -> Detector {
    Detector {
        name,
        group: Group::Secrets,
        what,
    }
}

/// The detectors that an endpoint has switched on.
#[derive(Clone, Copy, Debug)]
pub struct Detectors {
    detecting: Detecting,
}

impl Detectors {
    /// Returns the detectors of some groups. Costs nothing: all share their tables.
    pub fn new(detecting: Detecting) -> Self {
        Self { detecting }
    }

    /// Appends the offsets in a body (raw bytes of JSON, a form, anything) at which something was
    /// found, in order.
    ///
    /// Whatever [`Self::find`] finds in a text that stands verbatim between two quotes of the body
    /// has an offset within that text. Texts with escapes must be looked at one by one.
    pub fn suspects(&self, body: &[u8], at: &mut Vec<usize>) {
        let before = at.len();
        self.scan(body, |_, found| at.push(found.start));
        at[before..].sort_unstable();
    }

    /// Appends what is to be taken out of a text. Takes time linear in its length.
    ///
    /// Where each was replaced by [`super::REDACTED`], nothing more is found.
    pub fn find(&self, text: &str, found: &mut Vec<Found>) {
        let mut taken = self.once(text);
        if !taken.is_empty() {
            rounds::settle(text, &mut taken, |text| self.once(text));
            found.append(&mut taken);
        }
    }

    /// Returns what one look at a text finds.
    fn once(&self, text: &str) -> Vec<Found> {
        let mut found = Vec::new();
        self.scan(text.as_bytes(), |detector, range| {
            found.push(Found {
                start: range.start,
                end: range.end,
                detector,
            });
        });
        rounds::merge(&mut found);
        found
    }

    /// Returns all detectors there are, by group and name.
    pub fn all() -> Vec<Detector> {
        let formats = TOKENS
            .iter()
            .chain(LOOSE)
            .map(|token| secret(token.name, token.what));
        let mut all: Vec<Detector> = SHAPED.iter().copied().chain(formats).collect();
        all.sort_by_key(|detector| (detector.group, detector.name));
        // A service with several formats has several lines in the table.
        all.dedup_by_key(|detector| detector.name);
        all
    }

    fn scan(&self, text: &[u8], mut found: impl FnMut(&'static str, Range<usize>)) {
        let mut runs = Runs::default();
        if self.detecting.secrets {
            literals::find(text, |at, clue| {
                if let Some((name, range)) = judge(&mut runs, text, at, clue) {
                    found(name, range);
                }
            });
            words::find(&mut runs, text, &mut found);
        }
        if self.detecting.secrets || self.detecting.email {
            self.signs(&mut runs, text, &mut found);
        }
        if self.detecting.payment {
            payment::find(text, &mut found);
        }
        if self.detecting.phone {
            for at in memchr::memchr_iter(b'+', text) {
                give("phone", contact::phone(&mut runs, text, at), &mut found);
            }
        }
        if self.detecting.ip {
            contact::addresses(text, |range| found("ip", range));
        }
    }

    /// What equals signs, escaped or not, and at signs tell.
    fn signs(
        &self,
        runs: &mut Runs,
        text: &[u8],
        found: &mut impl FnMut(&'static str, Range<usize>),
    ) {
        let Detecting { secrets, email, .. } = self.detecting;
        let (mut users, mut emails) = (urls::Userinfo::default(), contact::Email::default());
        for at in memchr::memchr3_iter(b'=', b'@', b'%', text) {
            match text[at] {
                b'=' if secrets => {
                    let value = urls::parameter(runs, text, at, at + 1);
                    give("url_parameter", value, found);
                }
                b'%' if secrets && matches!(text[at..], [_, b'3', b'D' | b'd', ..]) => {
                    let value = urls::parameter(runs, text, at, at + 3);
                    give("url_parameter", value, found);
                }
                b'@' => {
                    let password = users.at_sign(text, at);
                    let address = emails.at_sign(runs, text, at);
                    if secrets {
                        give("url_password", password, found);
                    }
                    // What stands before the host of a URL is no one's mailbox.
                    if email && !users.in_url() {
                        give("email", address, found);
                    }
                }
                _ => {}
            }
        }
    }
}

fn give(
    name: &'static str,
    range: Option<Range<usize>>,
    found: &mut impl FnMut(&'static str, Range<usize>),
) {
    if let Some(range) = range {
        found(name, range);
    }
}

/// What stands where a literal was found.
fn judge(
    runs: &mut Runs,
    text: &[u8],
    at: usize,
    clue: Clue,
) -> Option<(&'static str, Range<usize>)> {
    let (name, range) = match clue {
        Clue::Token(token) => (token.name, token.end(runs, text, at).map(|end| at..end)),
        Clue::PrivateKey => ("private_key", shapes::private_key(runs, text, at)),
        Clue::Capability => ("webhook_url", urls::capability(runs, text, at)),
        Clue::Scheme => ("authorization", authorization::scheme(runs, text, at)),
        Clue::Header => ("authorization", authorization::header(runs, text, at)),
    };
    Some((name, range?))
}

#[cfg(test)]
mod tests;
