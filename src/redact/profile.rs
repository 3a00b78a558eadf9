//! Profiles: what is taken out of an endpoint's events unless its rules say otherwise.

use super::detect::Detecting;
use super::names::{DEFAULT_KEYS, DEFAULT_SUFFIXES};

/// Which groups of names and detectors are at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Credentials, and what the provider's definition calls sensitive.
    secrets: bool,
    /// Numbers of cards and accounts.
    payment: bool,
    /// What tells who somebody is, and where to reach them.
    personal: bool,
}

/// Names that [`Profile::PAYMENT`] adds.
pub const PAYMENT_KEYS: &[&str] = &[
    "account_number",
    "bank_account",
    "bank_account_number",
    "bban",
    "bic",
    "card_number",
    "cardholder",
    "cardholder_name",
    "cc_number",
    "credit_card",
    "credit_card_number",
    "debit_card_number",
    "expiry_date",
    "iban",
    "name_on_card",
    "pan",
    "primary_account_number",
    "routing_number",
    "sort_code",
    "swift",
    "track_1",
    "track_2",
    "track_data",
];

/// Names that [`Profile::PERSONAL`] adds. An object goes as a whole, as everywhere.
pub const PERSONAL_KEYS: &[&str] = &[
    "address",
    "address_1",
    "address_2",
    "address_line_1",
    "address_line_2",
    "addresses",
    "billing_address",
    "birth_date",
    "birthday",
    "city",
    "client_ip",
    "contact_email",
    "customer_email",
    "customer_name",
    "customer_phone",
    "date_of_birth",
    "display_name",
    "dob",
    "driver_license_number",
    "email",
    "email_address",
    "email_addresses",
    "emails",
    "family_name",
    "fax",
    "first_name",
    "full_name",
    "given_name",
    "home_address",
    "ip",
    "ip_address",
    "last_name",
    "latitude",
    "line_1",
    "line_2",
    "longitude",
    "maiden_name",
    "middle_name",
    "mobile",
    "mobile_number",
    "mobile_phone",
    "national_id",
    "passport_number",
    "phone",
    "phone_number",
    "phone_numbers",
    "phones",
    "postal_code",
    "postcode",
    "real_name",
    "receipt_email",
    "remote_ip",
    "shipping_address",
    "social_security_number",
    "ssn",
    "street",
    "street_address",
    "surname",
    "tax_id",
    "telephone",
    "user_email",
    "zip",
    "zip_code",
];

impl Profile {
    /// Nothing but the endpoint's own secrets and what its rules name.
    pub const NONE: Self = Self {
        secrets: false,
        payment: false,
        personal: false,
    };

    /// Credentials by name and by form, and what the provider's definition calls sensitive.
    pub const SECRETS: Self = Self {
        secrets: true,
        ..Self::NONE
    };

    /// The same, and numbers of cards and accounts.
    pub const PAYMENT: Self = Self {
        payment: true,
        ..Self::SECRETS
    };

    /// The same as [`Profile::SECRETS`], and what tells who somebody is.
    pub const PERSONAL: Self = Self {
        personal: true,
        ..Self::SECRETS
    };

    /// Everything.
    pub const ALL: Self = Self {
        payment: true,
        ..Self::PERSONAL
    };

    /// Every profile, by the word that configurations have for it.
    pub const WORDS: [(&str, Self); 5] = [
        ("secrets", Self::SECRETS),
        ("secrets+payment", Self::PAYMENT),
        ("secrets+personal", Self::PERSONAL),
        ("secrets+payment+personal", Self::ALL),
        ("none", Self::NONE),
    ];

    /// Returns the names that are taken out.
    pub(super) fn keys(self) -> impl Iterator<Item = &'static str> {
        let groups = [
            (self.secrets, DEFAULT_KEYS),
            (self.payment, PAYMENT_KEYS),
            (self.personal, PERSONAL_KEYS),
        ];
        let on = groups.into_iter().filter(|(on, _)| *on);
        on.flat_map(|(_, keys)| keys.iter().copied())
    }

    /// Returns the endings of names that are taken out.
    pub(super) fn suffixes(self) -> &'static [(&'static str, &'static [&'static str])] {
        match self.secrets {
            true => DEFAULT_SUFFIXES,
            false => &[],
        }
    }

    /// Returns what is looked for by its form; nothing where nothing is.
    pub(super) fn detecting(self) -> Option<Detecting> {
        (self != Self::NONE).then_some(Detecting {
            secrets: self.secrets,
            payment: self.payment,
            email: self.personal,
            phone: self.personal,
            ip: self.personal,
        })
    }
}

impl Default for Profile {
    fn default() -> Self {
        Self::SECRETS
    }
}
