//! The key formats of clouds and services that a fixed beginning tells, as one table.
//!
//! Beginnings, alphabets and lengths are facts taken from the rules of gitleaks
//! (<https://github.com/gitleaks/gitleaks>, `config/gitleaks.toml` of 2025-11-20 at commit
//! b58d3f102cf3a2c84cb7f923d05c25c9b1aed84b) and from the vendors' own documentation. Where a
//! beginning is telling enough, whatever follows it in the alphabet is taken, so that a format that
//! grows is still found; a checksum is never asked for, since a token that fails it may be cut.

use super::text::{Runs, Set, begins, ends, looks_drawn};

/// How many bytes may follow the beginning, where longer is as good.
const OR_MORE: usize = usize::MAX;

/// One format.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    /// What it begins with; any of these.
    pub(super) prefixes: &'static [&'static str],
    /// What follows.
    set: Set,
    /// How many bytes of that, at least.
    min: usize,
    /// And at most.
    max: usize,
}

impl Token {
    /// Returns where the token that begins at a place ends.
    pub(super) fn end(&self, runs: &mut Runs, text: &[u8], at: usize) -> Option<usize> {
        let here = &text[at..];
        let is = |prefix: &&&str| here.starts_with(prefix.as_bytes());
        let body = at + self.prefixes.iter().find(is)?.len();
        if !begins(text, at) {
            return None;
        }
        let mut end = runs.end(self.set, text, body);
        // The dot that ends a sentence is no part of it.
        while end > body && text[end - 1] == b'.' {
            end -= 1;
        }
        let len = end - body;
        let fits = (self.min..=self.max).contains(&len) && ends(text, end);
        // No one writes so long a word, but in code.
        let drawn = len >= 30 || looks_drawn(&text[body..end], 0);
        (fits && drawn).then_some(end)
    }
}

const fn token(
    name: &'static str,
    what: &'static str,
    prefixes: &'static [&'static str],
    set: Set,
    (min, max): (usize, usize),
) -> Token {
    Token {
        name,
        what,
        prefixes,
        set,
        min,
        max,
    }
}

/// Formats that are found by their literals: these may have other bytes than [`Set::Dotted`] early on.
/// No beginning holds a quote, so that none reaches over the end of a JSON string.
#[rustfmt::skip]
pub(super) static LOOSE: &[Token] = &[
    token("webhook_secret", "Signing secrets of Stripe and Standard Webhooks", &["whsec_"], Set::Base64, (24, OR_MORE)),
    token("fly_token", "Fly.io tokens", &["fm1a_", "fm1r_", "fm2_"], Set::Base64, (100, OR_MORE)),
    token("braintree_token", "Braintree access tokens",
        &["access_token$sandbox$", "access_token$production$"], Set::Dollar, (40, OR_MORE)),
    token("openshift_token", "OpenShift tokens", &["sha256~"], Set::Word, (43, OR_MORE)),
    token("google_token", "Google OAuth refresh tokens", &["1//0"], Set::Word, (40, OR_MORE)),
];

/// Formats that are long words of [`Set::Dotted`], for [`super::words`] to find. Those in base64
/// begin with so much text that `+` and `/` come late.
#[rustfmt::skip]
pub(super) static TOKENS: &[Token] = &[
    token("adobe_secret", "Adobe client secrets", &["p8e-"], Set::Alnum, (32, 32)),
    token("age_key", "age secret keys", &["AGE-SECRET-KEY-1"], Set::Upper, (58, 58)),
    token("alibaba_key", "Alibaba Cloud access key ids", &["LTAI"], Set::Alnum, (16, 20)),
    token("anthropic_key", "Anthropic API keys", &["sk-ant-"], Set::Word, (20, OR_MORE)),
    token("artifactory_key", "Artifactory API keys", &["AKCp"], Set::Alnum, (69, 69)),
    token("atlassian_token", "Atlassian API tokens and Bitbucket app passwords",
        &["ATATT3", "ATCTT3", "ATBB"], Set::Word, (28, OR_MORE)),
    token("aws_key_id", "AWS access key ids, lasting and temporary",
        &["AKIA", "ASIA", "ABIA", "ACCA"], Set::Upper, (16, 16)),
    token("aws_bedrock_key", "Amazon Bedrock API keys", &["ABSK"], Set::Base64, (100, OR_MORE)),
    token("aws_bedrock_key", "Amazon Bedrock API keys", &["bedrock-api-key-"], Set::Base64, (40, OR_MORE)),
    token("brevo_key", "Brevo API and SMTP keys", &["xkeysib-", "xsmtpsib-"], Set::Word, (64, OR_MORE)),
    token("clojars_token", "Clojars tokens", &["CLOJARS_"], Set::Alnum, (60, 60)),
    token("contentful_token", "Contentful personal tokens", &["CFPAT-"], Set::Word, (40, OR_MORE)),
    token("databricks_token", "Databricks tokens", &["dapi"], Set::Hex, (32, 32)),
    token("digitalocean_token", "DigitalOcean tokens",
        &["dop_v1_", "doo_v1_", "dor_v1_"], Set::Hex, (64, 64)),
    token("docker_token", "Docker access tokens", &["dckr_pat_", "dckr_oat_"], Set::Word, (20, OR_MORE)),
    token("doppler_token", "Doppler tokens",
        &["dp.pt.", "dp.st.", "dp.ct.", "dp.sa.", "dp.scim.", "dp.audit."], Set::Dotted, (40, OR_MORE)),
    token("duffel_token", "Duffel tokens", &["duffel_test_", "duffel_live_"], Set::Word, (40, OR_MORE)),
    token("dynatrace_token", "Dynatrace tokens", &["dt0c01.", "dt0s01.", "dt0s16."], Set::Dotted, (80, OR_MORE)),
    token("easypost_key", "EasyPost API keys", &["EZAK", "EZTK"], Set::Alnum, (54, 54)),
    token("figma_token", "Figma personal access tokens", &["figd_"], Set::Word, (36, OR_MORE)),
    token("flutterwave_key", "Flutterwave secret keys", &["FLWSECK-", "FLWSECK_TEST-"], Set::Word, (12, OR_MORE)),
    token("fly_token", "Fly.io tokens", &["fo1_"], Set::Word, (43, OR_MORE)),
    token("frameio_token", "Frame.io tokens", &["fio-u-"], Set::Word, (64, OR_MORE)),
    token("github_token", "GitHub tokens of users, apps and installations",
        &["ghp_", "gho_", "ghu_", "ghs_", "ghr_"], Set::Dotted, (36, OR_MORE)),
    token("github_token", "GitHub fine-grained tokens", &["github_pat_"], Set::Word, (82, OR_MORE)),
    token("gitlab_token", "GitLab tokens of all kinds",
        &["glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "glft-", "glimt-", "glagent-", "glsoat-",
          "glffct-", "gloas-", "GR1348941"], Set::Dotted, (20, OR_MORE)),
    token("google_key", "Google API keys", &["AIza"], Set::Word, (35, 35)),
    token("google_secret", "Google OAuth client secrets", &["GOCSPX-"], Set::Word, (28, OR_MORE)),
    token("google_token", "Google OAuth access tokens", &["ya29."], Set::Dotted, (20, OR_MORE)),
    token("grafana_token", "Grafana Cloud tokens", &["glc_eyJ"], Set::Base64, (32, OR_MORE)),
    token("grafana_token", "Grafana service account tokens", &["glsa_"], Set::Word, (41, OR_MORE)),
    token("grafana_token", "Grafana API keys", &["eyJrIjoi"], Set::Base64, (60, OR_MORE)),
    token("groq_key", "Groq API keys", &["gsk_"], Set::Alnum, (48, OR_MORE)),
    token("heroku_key", "Heroku API keys", &["HRKU-"], Set::Word, (36, OR_MORE)),
    token("hubspot_token", "HubSpot private app tokens",
        &["pat-na1-", "pat-na2-", "pat-eu1-", "pat-ap1-"], Set::Word, (36, OR_MORE)),
    token("huggingface_token", "Hugging Face tokens", &["hf_", "api_org_"], Set::Alnum, (34, OR_MORE)),
    token("infracost_token", "Infracost tokens", &["ico-"], Set::Alnum, (32, 32)),
    token("langsmith_key", "LangSmith keys", &["lsv2_pt_", "lsv2_sk_"], Set::Word, (32, OR_MORE)),
    token("linear_token", "Linear API keys and tokens", &["lin_api_", "lin_oauth_"], Set::Alnum, (40, OR_MORE)),
    token("mailgun_key", "Mailgun private keys", &["key-"], Set::Hex, (32, 32)),
    token("mapbox_token", "Mapbox secret tokens", &["sk.eyJ"], Set::Dotted, (60, OR_MORE)),
    token("newrelic_key", "New Relic user and insert keys", &["NRAK-", "NRII-"], Set::Word, (27, OR_MORE)),
    token("notion_token", "Notion integration tokens", &["ntn_"], Set::Alnum, (43, OR_MORE)),
    token("notion_token", "Notion integration tokens, older", &["secret_"], Set::Alnum, (43, 43)),
    token("npm_token", "npm tokens", &["npm_"], Set::Alnum, (36, OR_MORE)),
    token("octopus_key", "Octopus Deploy keys", &["API-"], Set::Upper, (26, 26)),
    token("onepassword_token", "1Password service account tokens", &["ops_eyJ"], Set::Base64, (200, OR_MORE)),
    token("openai_key", "OpenAI API keys", &["sk-proj-", "sk-svcacct-", "sk-admin-"], Set::Word, (20, OR_MORE)),
    token("openai_key", "OpenAI API keys, older, and those of others like them",
        &["sk-or-v1-", "sk-"], Set::Alnum, (32, OR_MORE)),
    token("perplexity_key", "Perplexity API keys", &["pplx-"], Set::Alnum, (48, OR_MORE)),
    token("plaid_token", "Plaid access tokens",
        &["access-sandbox-", "access-development-", "access-production-"], Set::Word, (36, 36)),
    token("planetscale_token", "PlanetScale tokens and passwords",
        &["pscale_tkn_", "pscale_oauth_", "pscale_pw_"], Set::Dotted, (32, OR_MORE)),
    token("postman_key", "Postman API keys", &["PMAK-"], Set::Word, (59, OR_MORE)),
    token("prefect_key", "Prefect keys", &["pnu_", "pnb_"], Set::Alnum, (36, 36)),
    token("pulumi_token", "Pulumi tokens", &["pul-"], Set::Hex, (40, 40)),
    token("pypi_token", "PyPI upload tokens", &["pypi-AgE"], Set::Word, (50, OR_MORE)),
    token("readme_key", "ReadMe keys", &["rdme_"], Set::Alnum, (70, OR_MORE)),
    token("replicate_token", "Replicate tokens", &["r8_"], Set::Alnum, (37, OR_MORE)),
    token("rubygems_key", "RubyGems keys", &["rubygems_"], Set::Hex, (48, 48)),
    token("sendgrid_key", "SendGrid API keys", &["SG."], Set::Dotted, (60, OR_MORE)),
    token("sentry_token", "Sentry organisation tokens", &["sntrys_"], Set::Credential, (40, OR_MORE)),
    token("sentry_token", "Sentry user tokens", &["sntryu_"], Set::Hex, (64, 64)),
    token("shippo_token", "Shippo tokens", &["shippo_live_", "shippo_test_"], Set::Hex, (40, 40)),
    token("shopify_token", "Shopify tokens and shared secrets",
        &["shpat_", "shpca_", "shppa_", "shpss_"], Set::Hex, (32, 32)),
    token("slack_token", "Slack tokens of all kinds",
        &["xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xoxo-", "xoxc-", "xoxd-", "xoxe-", "xoxe.", "xapp-"],
        Set::Dotted, (16, OR_MORE)),
    token("sonar_token", "Sonar tokens", &["squ_", "sqp_", "sqa_"], Set::Hex, (40, 40)),
    token("sourcegraph_token", "Sourcegraph tokens", &["sgp_"], Set::Word, (40, OR_MORE)),
    token("square_token", "Square tokens and secrets", &["sq0atp-", "sq0csp-"], Set::Word, (22, OR_MORE)),
    token("square_or_meta_token", "Access tokens of Square and of Meta", &["EAA"], Set::Word, (57, OR_MORE)),
    token("stripe_key", "Stripe secret and restricted keys (publishable ones are public)",
        &["sk_live_", "sk_test_", "sk_prod_", "sk_org_", "rk_live_", "rk_test_", "rk_prod_"], Set::Word, (13, OR_MORE)),
    token("supabase_key", "Supabase tokens and secret keys", &["sbp_", "sb_secret_"], Set::Word, (31, OR_MORE)),
    token("tailscale_key", "Tailscale keys", &["tskey-"], Set::Word, (20, OR_MORE)),
    token("twilio_key", "Twilio API keys", &["SK"], Set::Hex, (32, 32)),
    token("typeform_token", "Typeform tokens", &["tfp_"], Set::Dotted, (40, OR_MORE)),
    token("vault_token", "HashiCorp Vault tokens", &["hvs.", "hvb.", "hvr."], Set::Word, (24, OR_MORE)),
    token("xai_key", "xAI API keys", &["xai-"], Set::Alnum, (60, OR_MORE)),
    token("yandex_key", "Yandex Cloud API keys", &["AQVN"], Set::Word, (35, 38)),
];

#[cfg(test)]
mod tests {
    use super::super::words::LEAST;
    use super::*;

    #[test]
    fn every_token_of_the_long_table_is_a_long_word() {
        for token in TOKENS {
            for prefix in token.prefixes {
                assert!(
                    prefix.bytes().all(|byte| Set::Dotted.contains(byte)),
                    "{prefix}"
                );
                assert!(prefix.len() + token.min >= LEAST, "{prefix}");
                let is_text = prefix.contains("eyJ") || prefix.len() > 3 && token.min >= 100;
                let all = (0..=255).filter(|byte| token.set.contains(*byte));
                let is_word = all.clone().all(|byte| Set::Dotted.contains(byte));
                assert!(is_word || is_text || prefix.len() >= 7, "{prefix}");
            }
        }
    }

    #[test]
    fn what_may_be_long_takes_all_letters_and_digits() {
        for token in TOKENS
            .iter()
            .chain(LOOSE)
            .filter(|token| token.max == OR_MORE)
        {
            let mut alnum = (0..=255_u8).filter(u8::is_ascii_alphanumeric);
            assert!(alnum.all(|byte| token.set.contains(byte)), "{}", token.name);
        }
    }
}
