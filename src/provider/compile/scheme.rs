//! Compiles `[[scheme]]`: how a provider proves that a delivery is its own.

use std::collections::BTreeMap;
use std::time::Duration;

use ed25519_dalek::SIGNATURE_LENGTH;

use super::{method, pairs, templates};
use crate::keys::{HostPattern, KeyAddress, PathPattern};
use crate::provider::definition::{
    Kind, Normalization, OneOrMany, RawJwt, RawKeys, RawScheme, RawTag, RawWhen, SignatureForm,
};
use crate::verify::fetched::{KeyReading, KeyRule, PostValue};
use crate::verify::fields::Pointers;
use crate::verify::key::{Derivation, Hash};
use crate::verify::public_key::{Algorithm, Trust};
use crate::verify::scheme::{
    Carrier, Equal, JwtRule, Length, Place, Proof, Scheme, TimestampRule, Token, When,
};
use crate::verify::tag::{Layout, TagName};
use crate::verify::template::{Coverage, Source, Template};

/// The name in a list of tags that stands for the id of the key.
const KEY_ID: &str = "{key-id}";

pub(super) fn compile(
    raw: RawScheme,
    documents: &[Template],
    pointers: &mut Pointers,
) -> Result<Scheme, String> {
    let proof = compile_proof(&raw, pointers)?;
    let signed = match &raw.signed {
        None => Template::default(),
        Some(text) => signed_content(text, pointers)?,
    };
    if signs(raw.kind) != raw.signed.is_some() {
        return Err("`signed` goes with HMAC, hashes and signatures, and nothing else".to_owned());
    }
    if signs(raw.kind) && signed.is_literal() {
        return Err(
            "`signed` holds no piece of the delivery, so that one tag would fit all".to_owned(),
        );
    }
    check_secret(raw.kind, &signed)?;
    let also_signed = raw
        .also_signed
        .iter()
        .map(|one| signed_content(one, pointers));
    let also_signed: Vec<Template> = also_signed.collect::<Result<_, _>>()?;
    let token = match &raw.token {
        Some(text) if signs(raw.kind) => Some(compile_token(text, &raw, pointers)?),
        _ => None,
    };
    let keys = match &raw.keys {
        Some(keys) => Some(compile_keys(keys, pointers).map_err(|why| format!("keys: {why}"))?),
        None => None,
    };
    if token.is_some() && keys.is_none() {
        return Err(
            "`token` beside a signature goes with `keys`: secrets are the token".to_owned(),
        );
    }
    let equal = compile_equal(&raw.equal, pointers)?;
    let timestamp = match &raw.timestamp {
        None => None,
        Some(rule) => Some(TimestampRule {
            from: Template::compile(&rule.from, pointers)?,
            unit: rule.unit,
            tolerance: rule.tolerance.map(Duration::from_secs),
            min: rule.min,
        }),
    };
    let mut coverage = coverage(&signed, &also_signed, &equal, &proof);
    // Where what holds the document is signed, all that becomes of the delivery is.
    if !documents.is_empty() && documents.iter().all(|one| one.covered_by(&coverage)) {
        coverage.add_document();
    }
    require_signed(timestamp.as_ref(), &coverage)?;
    if raw.kind == Kind::None && !raw.opt_in {
        return Err("a scheme that proves nothing must be `opt_in`".to_owned());
    }
    Ok(Scheme {
        name: raw.name,
        opt_in: raw.opt_in,
        when: compile_when(&raw.when, pointers)?,
        for_secrets: raw.for_secrets,
        proof,
        signed,
        also_signed,
        token,
        keys,
        each: raw.each.is_some(),
        equal,
        require: templates(&raw.require, pointers)?,
        timestamp,
        coverage,
        url_forms: raw.url_forms,
        allow_empty_body: raw.allow_empty_body,
    })
}

fn signed_content(text: &OneOrMany, pointers: &mut Pointers) -> Result<Template, String> {
    match text {
        OneOrMany::One(text) => Template::compile(text, pointers),
        OneOrMany::Many(parts) => Template::compile_parts(parts, pointers),
    }
}

fn signs(kind: Kind) -> bool {
    !matches!(
        kind,
        Kind::Token | Kind::Basic | Kind::ClientCertificate | Kind::None | Kind::Jwt
    )
}

/// A secret belongs into a hash, once, and into nothing else.
fn check_secret(kind: Kind, signed: &Template) -> Result<(), String> {
    let secrets = signed
        .sources()
        .filter(|source| **source == Source::Secret)
        .count();
    match (kind, secrets) {
        (Kind::KeyedHash, 1) => Ok(()),
        (Kind::KeyedHash, _) => Err("`signed` must hold `{secret}` exactly once".to_owned()),
        (_, 0) => Ok(()),
        _ => Err("`{secret}` goes with `keyed-hash`".to_owned()),
    }
}

/// What the proof covers: what every spelling of the signed content holds, and what is compared with
/// something covered.
fn coverage(
    signed: &Template,
    also_signed: &[Template],
    equal: &[Equal],
    proof: &Proof,
) -> Coverage {
    let mut coverage = signed.coverage();
    for other in also_signed {
        coverage.keep_common(&other.coverage());
    }
    if let Proof::Jwt(rule) = proof {
        let named = rule.claims.iter().map(|(name, _)| name.clone());
        coverage.add_claims(named.chain(["*".to_owned()]));
        let bound = rule.claims.iter().chain(&rule.claims_if_body);
        for (_, templates) in bound {
            if let [only] = templates.as_slice() {
                coverage.add(only);
            }
        }
    }
    for rule in equal.iter().filter(|rule| !rule.optional) {
        if let [only] = rule.alternatives.as_slice() {
            coverage.bind(&rule.left, only);
        }
    }
    coverage
}

/// A tolerance over a time that anyone can change would be a lie.
fn require_signed(timestamp: Option<&TimestampRule>, coverage: &Coverage) -> Result<(), String> {
    match timestamp {
        Some(rule) if !rule.from.covered_by(coverage) => {
            Err("the `timestamp` is not part of what is signed".to_owned())
        }
        _ => Ok(()),
    }
}

pub(super) fn compile_when(raw: &RawWhen, pointers: &mut Pointers) -> Result<When, String> {
    Ok(When {
        header: raw.header.clone(),
        query: raw.query.clone(),
        method: raw.method.as_deref().map(method).transpose()?,
        equals: pairs(&raw.equals, pointers)?,
        present: templates(&raw.present, pointers)?,
        absent: templates(&raw.absent, pointers)?,
        object: raw.object,
    })
}

fn compile_proof(raw: &RawScheme, pointers: &mut Pointers) -> Result<Proof, String> {
    let key = compile_derivation(raw, pointers)?;
    let hash = || raw.hash.ok_or("`hash` is missing".to_owned());
    let token = |pointers: &mut Pointers| {
        let text = raw.token.as_deref().ok_or("`token` is missing")?;
        compile_token(text, raw, pointers)
    };
    Ok(match raw.kind {
        Kind::Hmac | Kind::KeyedHash => {
            let hash = hash()?;
            let carrier = compile_carrier(raw, Length::Exactly(hash.length()), pointers)?;
            if hash == Hash::Md5 && !raw.opt_in {
                return Err("md5 goes only with `opt_in`".to_owned());
            }
            match raw.kind {
                Kind::Hmac => Proof::Hmac { hash, key, carrier },
                _ => Proof::KeyedHash { hash, key, carrier },
            }
        }
        Kind::Ed25519 | Kind::EcdsaP256 | Kind::RsaPkcs1 | Kind::RsaPss => {
            let form = raw.tag.as_ref().map(|tag| tag.form).unwrap_or_default();
            let (algorithm, length) = match (raw.kind, form) {
                (Kind::Ed25519, _) => (Algorithm::Ed25519, Length::Exactly(SIGNATURE_LENGTH)),
                (Kind::EcdsaP256, SignatureForm::Fixed) => {
                    (Algorithm::EcdsaP256Fixed, Length::Exactly(64))
                }
                (Kind::EcdsaP256, _) => (Algorithm::EcdsaP256Der, Length::Any),
                (Kind::RsaPkcs1, _) => (Algorithm::RsaPkcs1(hash()?), Length::Any),
                _ => (Algorithm::RsaPss(hash()?), Length::Any),
            };
            Proof::PublicKey {
                algorithm,
                key,
                carrier: compile_carrier(raw, length, pointers)?,
                tink: form == SignatureForm::Tink,
            }
        }
        Kind::Jwt => {
            let rule = raw.jwt.as_ref().ok_or("`jwt` is missing")?;
            let token = token(pointers)?;
            Proof::Jwt(Box::new(compile_jwt(rule, token, key, pointers)?))
        }
        Kind::Token => Proof::Token(token(pointers)?),
        Kind::Basic => Proof::Basic,
        Kind::ClientCertificate => Proof::ClientCertificate(token(pointers)?.value),
        Kind::None => Proof::None,
    })
}

fn compile_derivation(raw: &RawScheme, pointers: &mut Pointers) -> Result<Derivation, String> {
    let by_name = raw
        .tag
        .as_ref()
        .and_then(|tag| tag.pairs.as_ref())
        .is_some_and(|pairs| pairs.name == KEY_ID);
    let id = raw.key.id.as_deref().filter(|text| !text.is_empty());
    Ok(Derivation {
        strip: raw.key.strip.clone(),
        encoding: raw.key.encoding,
        nfkd: matches!(raw.key.normalize, Some(Normalization::Nfkd)),
        html_entities: raw.key.html_entities,
        suffix: raw.key.suffix.clone(),
        hash: raw.key.hash,
        named: by_name || raw.key.id.is_some(),
        id: id
            .map(|text| Template::compile(text, pointers))
            .transpose()?,
    })
}

fn compile_token(text: &str, raw: &RawScheme, pointers: &mut Pointers) -> Result<Token, String> {
    let value = Template::compile(text, pointers)?;
    let any_case = match value.only_source() {
        Some(Source::Header(names)) => names.contains(&http::header::AUTHORIZATION),
        _ => false,
    };
    Ok(Token {
        value,
        prefix: raw.token_prefix.clone(),
        any_case,
    })
}

fn compile_jwt(
    raw: &RawJwt,
    token: Token,
    key: Derivation,
    pointers: &mut Pointers,
) -> Result<JwtRule, String> {
    let mut claims = |texts: &BTreeMap<String, OneOrMany>| {
        let each = texts.iter().map(|(name, one)| {
            Ok::<_, String>((name.clone(), templates(one.as_slice(), pointers)?))
        });
        each.collect::<Result<Vec<_>, _>>()
    };
    if raw.algorithms.is_empty() {
        return Err("jwt: `algorithms` must name at least one".to_owned());
    }
    Ok(JwtRule {
        token,
        algorithms: raw.algorithms.clone(),
        key,
        claims: claims(&raw.claims)?,
        claims_if_body: claims(&raw.claims_if_body)?,
        require: raw.require.clone(),
        leeway: i64::from(raw.leeway),
    })
}

fn compile_keys(raw: &RawKeys, pointers: &mut Pointers) -> Result<KeyRule, String> {
    let url = Template::compile(&raw.url, pointers)?;
    let hosts = raw.hosts.iter().map(|host| HostPattern::parse(host));
    let hosts: Vec<HostPattern> = hosts
        .collect::<Result<_, _>>()
        .map_err(|why| format!("`hosts` {why}"))?;
    let path = raw.path.as_deref().map(PathPattern::parse).transpose();
    let path = path.map_err(|why| format!("`path` {why}"))?;
    let pinned = match (url.is_literal(), hosts.is_empty(), path) {
        (true, true, None) => {
            KeyAddress::fixed(&raw.url).map_err(|why| format!("`url`: {why}"))?;
            None
        }
        (false, false, Some(path)) => Some((hosts, path)),
        _ => {
            return Err(
                "a `url` that a delivery chooses needs `hosts` and `path`, and no other may have them"
                    .to_owned(),
            );
        }
    };
    let post = raw.post.iter().map(|(name, text)| {
        let value = match (text.as_str(), text.strip_prefix("secret:")) {
            ("{kid}", _) => PostValue::KeyId,
            (_, Some(param)) => PostValue::Secret(param.to_owned()),
            _ => PostValue::Text(text.clone()),
        };
        (name.clone(), value)
    });
    Ok(KeyRule {
        url,
        pinned,
        reading: KeyReading {
            format: raw.format,
            pointer: raw.pointer.clone(),
            trust: Trust {
                chain: raw.chain,
                subjects: raw.subject.clone(),
                anchors: Vec::new(),
            },
        },
        post: post.collect(),
    })
}

fn compile_equal(raw: &[Vec<String>], pointers: &mut Pointers) -> Result<Vec<Equal>, String> {
    let mut rules = Vec::new();
    for texts in raw {
        let (left, alternatives) = match texts.split_first() {
            Some((left, rest)) if !rest.is_empty() => (left, rest),
            _ => return Err("`equal` needs what is compared and at least one value".to_owned()),
        };
        let (left, optional) = match left.strip_prefix('?') {
            Some(left) => (left, true),
            None => (left.as_str(), false),
        };
        rules.push(Equal {
            left: Template::compile(left, pointers)?,
            alternatives: templates(alternatives, pointers)?,
            optional,
        });
    }
    Ok(rules)
}

fn compile_carrier(
    raw: &RawScheme,
    length: Length,
    pointers: &mut Pointers,
) -> Result<Carrier, String> {
    let tag = raw.tag.as_ref().ok_or("`tag` is missing")?;
    let from = tag.from.as_slice().iter().map(|text| place(text, pointers));
    Ok(Carrier {
        from: from.collect::<Result<_, _>>()?,
        layout: compile_layout(tag)?,
        encoding: tag.encoding,
        length,
        by_secret: tag.by_secret,
    })
}

fn compile_layout(tag: &RawTag) -> Result<Layout, String> {
    match (&tag.pairs, &tag.list) {
        (Some(_), Some(_)) => Err("a tag has `pairs` or `list`, not both".to_owned()),
        (Some(pairs), None) if pairs.separator.is_empty() => {
            Err("`pairs.separator` is empty".to_owned())
        }
        (Some(pairs), None) => Ok(Layout::Pairs {
            separator: pairs.separator.clone(),
            assign: pairs.assign,
            name: match pairs.name.as_str() {
                KEY_ID => TagName::KeyId,
                name => TagName::Fixed(name.to_owned()),
            },
            trim: pairs.trim,
        }),
        (None, Some(list)) => Ok(Layout::List {
            separator: list.separator,
            params: list.params.clone(),
            trim: list.trim,
        }),
        (None, None) => Ok(Layout::Plain {
            prefix: tag.prefix.clone(),
        }),
    }
}

/// Reads where tags stand: `{headers:NAME}`, `{headers:PREFIX-*}`, or a template.
fn place(text: &str, pointers: &mut Pointers) -> Result<Place, String> {
    let lines = text
        .strip_prefix("{headers:")
        .and_then(|rest| rest.strip_suffix('}'));
    let Some(name) = lines else {
        return Ok(Place::Piece(Template::compile(text, pointers)?));
    };
    let (name, numbered) = match name.strip_suffix('*') {
        Some(prefix) => (prefix, true),
        None => (name, false),
    };
    let parsed: http::HeaderName = name
        .parse()
        .map_err(|_| format!("`{name}` is not the name of a header"))?;
    let name = parsed.as_str().to_owned();
    Ok(match numbered {
        true => Place::Numbered(name),
        false => Place::Lines(name),
    })
}
