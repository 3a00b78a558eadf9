//! What must be found: samples of every format, alone and in the places where such things turn up.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::draw::Draw;

/// Samples of each format.
const SAMPLES: usize = 24;

/// A text and what of it must be taken out.
pub(crate) struct Positive {
    pub(crate) detector: &'static str,
    pub(crate) text: String,
    pub(crate) secret: String,
}

/// Places where a token is found.
const AROUND: &[&str] = &[
    "{}",
    "please rotate {} today",
    "it was {}.",
    "KEY={}",
    "\"{}\"",
    "('{}')",
    "https://example.com/?x={}&y=1",
    "https://example.com/v1/{}/status",
    "export A='{}'; run",
    r"first line\n{}\nlast line",
    "next=https%3A%2F%2Fexample.com%2F%3Fx%3D{}%26y%3D1",
    "<b>{}</b>",
];

/// Formats: detector, what it begins with (in pieces), and the pattern of the rest.
#[rustfmt::skip]
const FORMATS: &[(&str, &[&str], &str)] = &[
    ("adobe_secret", &["p8", "e-"], "c32"),
    ("age_key", &["AGE-", "SECRET-", "KEY-1"], "u58"),
    ("airtable_token", &["p", "at"], "a14 '.' h64"),
    ("alibaba_key", &["LT", "AI"], "a20"),
    ("anthropic_key", &["sk-", "ant-", "api03-"], "w93 'AA'"),
    ("artifactory_key", &["AK", "Cp"], "a69"),
    ("atlassian_token", &["ATA", "TT3"], "w186"),
    ("atlassian_token", &["AT", "BB"], "a32"),
    ("aws_key_id", &["AK", "IA"], "k16"),
    ("aws_key_id", &["AS", "IA"], "k16"),
    ("aws_bedrock_key", &["AB", "SK", "QmVkcm9ja0FQSUtleS"], "a110 '='"),
    ("braintree_token", &["access_", "token$", "production$"], "c16 '$' h32"),
    ("brevo_key", &["xkey", "sib-"], "h64 '-' a16"),
    ("clojars_token", &["CLO", "JARS_"], "h60"),
    ("contentful_token", &["CFP", "AT-"], "w43"),
    ("databricks_token", &["da", "pi"], "h32"),
    ("digitalocean_token", &["dop", "_v1_"], "h64"),
    ("docker_token", &["dckr", "_pat_"], "w27"),
    ("doppler_token", &["dp.", "pt."], "a43"),
    ("duffel_token", &["duffel_", "live_"], "w43"),
    ("dynatrace_token", &["dt0", "c01."], "u24 '.' u64"),
    ("easypost_key", &["EZ", "AK"], "a54"),
    ("entra_secret", &[""], "a3 '8Q~' a34"),
    ("figma_token", &["fi", "gd_"], "w40"),
    ("flutterwave_key", &["FLW", "SECK-"], "h32 '-X'"),
    ("fly_token", &["fo", "1_"], "w43"),
    ("fly_token", &["fm", "2_"], "b120 '=='"),
    ("frameio_token", &["fio", "-u-"], "w64"),
    ("github_token", &["gh", "p_"], "a36"),
    ("github_token", &["gh", "o_"], "a36"),
    ("github_token", &["gh", "s_"], "a36"),
    ("github_token", &["gh", "r_"], "a36"),
    ("github_token", &["github", "_pat_"], "a22 '_' a59"),
    ("gitlab_token", &["gl", "pat-"], "w20"),
    ("gitlab_token", &["gl", "pat-"], "w27 '.' c2 '.' c9"),
    ("gitlab_token", &["gl", "dt-"], "w20"),
    ("gitlab_token", &["gl", "cbt-"], "a2 '_' w20"),
    ("google_key", &["AI", "za"], "w35"),
    ("google_secret", &["GOC", "SPX-"], "w28"),
    ("google_token", &["ya", "29."], "w160"),
    ("google_token", &["1/", "/0"], "w100"),
    ("grafana_token", &["gl", "sa_"], "a32 '_' h8"),
    ("grafana_token", &["gl", "c_eyJ"], "a120 '='"),
    ("groq_key", &["gs", "k_"], "a52"),
    ("heroku_key", &["HRKU", "-AA"], "w58"),
    ("hubspot_token", &["pat-", "na1-"], "h8 '-' h4 '-' h4 '-' h4 '-' h12"),
    ("huggingface_token", &["h", "f_"], "n34"),
    ("infracost_token", &["ic", "o-"], "a32"),
    ("langsmith_key", &["lsv2_", "pt_"], "h32 '_' h10"),
    ("linear_token", &["lin_", "api_"], "a40"),
    ("mailgun_key", &["ke", "y-"], "h32"),
    ("mapbox_token", &["sk.", "eyJ"], "a80 '.' w22"),
    ("newrelic_key", &["NR", "AK-"], "u27"),
    ("notion_token", &["nt", "n_"], "d11 a35"),
    ("notion_token", &["sec", "ret_"], "a43"),
    ("npm_token", &["np", "m_"], "a36"),
    ("octopus_key", &["AP", "I-"], "u26"),
    ("onepassword_token", &["ops_", "eyJ"], "a300"),
    ("openai_key", &["sk-", "proj-"], "w74 'T3BlbkFJ' w74"),
    ("openai_key", &["s", "k-"], "a20 'T3BlbkFJ' a20"),
    ("openshift_token", &["sha", "256~"], "w43"),
    ("perplexity_key", &["pp", "lx-"], "a48"),
    ("plaid_token", &["access-", "sandbox-"], "h8 '-' h4 '-' h4 '-' h4 '-' h12"),
    ("planetscale_token", &["pscale_", "tkn_"], "w43"),
    ("postman_key", &["PM", "AK-"], "h24 '-' h34"),
    ("prefect_key", &["pn", "u_"], "a36"),
    ("pulumi_token", &["pu", "l-"], "h40"),
    ("pypi_token", &["py", "pi-AgEIcHlwaS5vcmc"], "w120"),
    ("readme_key", &["rd", "me_"], "c70"),
    ("replicate_token", &["r", "8_"], "a37"),
    ("rubygems_key", &["ruby", "gems_"], "h48"),
    ("sendgrid_key", &["S", "G."], "w22 '.' w43"),
    ("sentry_token", &["sntr", "ys_eyJ"], "a120 '=_' b43"),
    ("sentry_token", &["sntr", "yu_"], "h64"),
    ("shippo_token", &["shippo_", "live_"], "h40"),
    ("shopify_token", &["shp", "at_"], "h32"),
    ("shopify_token", &["shp", "ss_"], "h32"),
    ("slack_token", &["xo", "xb-"], "d12 '-' d12 '-' a24"),
    ("slack_token", &["xo", "xp-"], "d12 '-' d12 '-' d13 '-' h32"),
    ("slack_token", &["xa", "pp-1-"], "u11 '-' d13 '-' h64"),
    ("slack_token", &["xo", "xe.xoxp-1-"], "a164"),
    ("sonar_token", &["sq", "p_"], "h40"),
    ("sourcegraph_token", &["sg", "p_"], "h16 '_' h40"),
    ("square_token", &["sq0", "atp-"], "w22"),
    ("square_token", &["sq0", "csp-"], "w43"),
    ("square_or_meta_token", &["EA", "AA"], "w60"),
    ("square_or_meta_token", &["EA", "AC"], "a180"),
    ("stripe_key", &["sk_", "live_"], "a24"),
    ("stripe_key", &["sk_", "test_"], "a99"),
    ("stripe_key", &["rk_", "live_"], "a24"),
    ("supabase_key", &["sb", "p_"], "h40"),
    ("tailscale_key", &["ts", "key-auth-"], "a12 '-' a32"),
    ("telegram_token", &[""], "d10 ':AA' w33"),
    ("terraform_token", &[""], "a14 '.atlasv1.' w67"),
    ("twilio_key", &["S", "K"], "h32"),
    ("typeform_token", &["tf", "p_"], "w44 '_' w14"),
    ("vault_token", &["hv", "s."], "w95"),
    ("vault_token", &["hv", "s."], "w24"),
    ("webhook_secret", &["wh", "sec_"], "a32"),
    ("webhook_secret", &["wh", "sec_"], "b43 '='"),
    ("xai_key", &["xa", "i-"], "a80"),
    ("yandex_key", &["AQ", "VN"], "w36"),
];

/// What vendors and standards print as examples: detector, what is before it, it in pieces, what is
/// behind it. Stripe's and Adyen's test cards, the examples of the IBAN registry, of RFC 7519 and 7617,
/// of the documentation of AWS, Stripe, Slack and Telegram.
#[rustfmt::skip]
const PRINTED: &[(&str, &str, &[&str], &str)] = &[
    ("aws_key_id", "aws_access_key_id = ", &["AKIA", "IOSFODNN7EXAMPLE"], ""),
    ("url_parameter", "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=", &["aeeed9bbccd4d02ee5c0109b86d86835", "f995330da4c265957d157751f604d404"], ""),
    ("url_parameter", "AWS_SECRET_ACCESS_KEY=", &["wJalrXUtnFEMI/K7MDENG/", "bPxRfiCYEXAMPLEKEY"], ""),
    ("stripe_key", "curl https://api.stripe.com/v1/charges -u ", &["sk_", "test_", "4eC39HqLyjWDarjtT1zdp7dc"], ":"),
    ("webhook_url", "https://hooks.slack.com/services/", &["T00000000/", "B00000000/", "XXXXXXXXXXXXXXXXXXXXXXXX"], ""),
    ("telegram_token", "https://api.telegram.org/bot", &["110201543", ":AA", "HdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"], "/getMe"),
    ("jwt", "", &["eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9", ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ", ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"], ""),
    ("jwt", "unsecured: ", &["eyJhbGciOiJub25lIn0", ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."], ""),
    ("authorization", "Authorization: Basic ", &["QWxhZGRpbjpvcGVuIHNlc2FtZQ=="], ""),
    ("url_password", "postgresql://other:", &["secret"], "@localhost/otherdb?connect_timeout=10"),
    ("card", "", &["4242424242424242"], ""), ("card", "", &["5555555555554444"], ""), ("card", "", &["2223003122003222"], ""),
    ("card", "", &["378282246310005"], ""), ("card", "", &["6011111111111117"], ""), ("card", "", &["3056930009020004"], ""),
    ("card", "", &["36227206271667"], ""), ("card", "", &["3566002020360505"], ""), ("card", "", &["6205500000000000004"], ""),
    ("card", "card ", &["4242 4242 4242 4242"], " 12/34 123"),
    ("iban", "", &["GB33BUKB20201555555555"], ""), ("iban", "", &["DE89 3704 0044 0532 0130 00"], ""), ("iban", "", &["FR1420041010050500013M02606"], ""),
    ("iban", "", &["NO9386011117947"], ""), ("iban", "", &["MT84MALT011000012345MTLCAST001S"], ""), ("iban", "", &["LC55 HEMM 0001 0001 0012 0012 0002 3015"], ""),
];

/// Returns all that must be found.
pub(crate) fn all() -> Vec<Positive> {
    let mut draw = Draw::new(1);
    let mut all = Vec::new();
    for (detector, before, pieces, behind) in PRINTED {
        let secret = pieces.concat();
        let text = format!("{before}{secret}{behind}");
        all.push(Positive {
            detector,
            text,
            secret,
        });
    }
    for (detector, head, rest) in FORMATS {
        for sample in 0..SAMPLES {
            let mut secret = format!("{}{}", head.concat(), draw.pattern(rest));
            // A sentence's dot or a dash at the end would be read as the sentence's.
            while secret.ends_with(['-', '_']) {
                secret = format!("{}{}", head.concat(), draw.pattern(rest));
            }
            let around = AROUND[sample % AROUND.len()];
            all.push(Positive {
                detector,
                text: around.replace("{}", &secret),
                secret,
            });
        }
    }
    for sample in 0..SAMPLES * 2 {
        shaped(&mut draw, sample, &mut all);
        personal(&mut draw, sample, &mut all);
    }
    all
}

/// Secrets that their shape or their place tells.
#[rustfmt::skip]
fn shaped(draw: &mut Draw, sample: usize, all: &mut Vec<Positive>) {
    let mut add = |detector, around: &[&str], secret: String| {
        let text = around[sample % around.len()].replace("{}", &secret);
        all.push(Positive { detector, text, secret });
    };
    let base64url = |text: String| URL_SAFE_NO_PAD.encode(text);
    let header = base64url(format!(r#"{{"alg":"RS256","kid":"{}"}}"#, draw.pattern("a8")));
    let claims = base64url(format!(r#"{{"sub":"{}"}}"#, draw.pattern("d10")));
    add("jwt", AROUND, format!("{header}.{claims}.{}", draw.pattern("w86")).trim_end_matches('-').to_owned());
    let header = base64url(r#"{"alg":"dir","enc":"A256GCM"}"#.to_owned());
    add("jwt", AROUND, format!("{header}..{}", draw.pattern("w16 '.' w60 '.' w21 'x'")));
    let kind = draw.one_of(&["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED ", "DSA "]).to_string();
    let words = ["PRIVATE", " KEY"].concat();
    let lines = [draw.pattern("b64"), draw.pattern("b64"), draw.pattern("b22 '=='")].join(*draw.one_of(&["\n", "\\n", "\r\n"]));
    add("private_key", &["{}", "key: {} end", "'{}'"],
        format!("-----BEGIN {kind}{words}-----\n{lines}\n-----END {kind}{words}-----"));
    add("authorization", &["Authorization: Bearer {}", "curl -H 'Authorization: Bearer {}' https://x", "sent Bearer {} twice", "authorization: token {}", "Authorization: GenieKey {}"],
        draw.pattern("h8 '-' h4 '-4' h3 '-' h4 '-' h12"));
    let user = format!("{}:{}", draw.pattern("l6"), draw.pattern("a12"));
    add("authorization", &["Authorization: Basic {}", "-H \"authorization: basic {}\"", "use Basic {} for it"], STANDARD.encode(user));
    let (user, password) = (draw.pattern("l6"), draw.pattern("a12"));
    add("url_password", &["postgres://app:{}@db.example.com/x", "see https://me:{}@example.com.", "amqp://u:{}@10.0.0.1:5672/%2f", "redis://:{}@cache:6379", "url=https://bot:{}@h/p?q=1"], password);
    add("url_password", &["https://{}@example.com/x.git"], format!("{}{}", user, draw.pattern("h20 d2")));
    add("url_parameter", &["https://h/?access_token={}&a=1", "https://h/p?a=1&token={}", "https://h/#id_token={}", "https://h/f?X-Amz-Expires=60&X-Amz-Signature={}", "https://b.blob.core.windows.net/c?sv=1&sig={}", "https://h/?api_key={}#top", "https://h/?Signature={}&Key=1", "[log](https://h/?secret={})", "password={}", "AccountName=a;AccountKey={};Suffix=b", "u=https%3A%2F%2Fh%2F%3Fsig%3D{}%26b", "https://h/?a=1&amp;token={}", "export AWS_SECRET_ACCESS_KEY={}"],
        draw.pattern("a39 d1"));
    add("webhook_url", &["https://hooks.slack.com/services/{}", "<https://hooks.slack.com/commands/{}>", "https://hooks.slack.com/actions/{}"], draw.pattern("'T' u8 '/' d12 '/' a24"));
    add("webhook_url", &["https://discord.com/api/webhooks/123456789012345678/{}", "https://discordapp.com/api/webhooks/123456789012345678/{}?wait=true"], draw.pattern("a68"));
    let id = STANDARD.encode(draw.pattern("d18"));
    add("discord_token", AROUND, format!("{id}.{}.{}", draw.pattern("'G' a5"), draw.pattern("a38")));
}

/// Numbers of cards and accounts, and how people are reached.
#[rustfmt::skip]
fn personal(draw: &mut Draw, sample: usize, all: &mut Vec<Positive>) {
    let mut add = |detector, around: &[&str], secret: String| {
        let text = around[sample % around.len()].replace("{}", &secret);
        all.push(Positive { detector, text, secret });
    };
    let plain: &[&str] = &["{}", "paid with {} today", "it was {}.", "\"{}\"", "({})", "no: {}, ok", "n={}&m=1", "a\n{}\nb"];
    let &(begin, len, groups) = draw.one_of(&[("4", 16, "4444"), ("51", 16, "4444"), ("2221", 16, "4444"), ("34", 15, "465"), ("37", 15, "465"), ("6011", 16, "4444"), ("36", 14, "464"), ("3528", 16, "4444"), ("62", 16, "4444"), ("62", 19, "44443"), ("6759", 12, ""), ("2200", 16, "4444")]);
    let number = draw.luhn(begin, len);
    let separator = *draw.one_of(&["", " ", "-"]);
    let number = match groups {
        "" => number,
        groups => {
            let mut rest = number.as_str();
            let parts: Vec<&str> = groups.bytes().map(|size| {
                let (part, after) = rest.split_at(usize::from(size - b'0'));
                rest = after;
                part
            }).collect();
            parts.join(separator)
        }
    };
    add("card", plain, number);
    let &(country, pattern) = draw.one_of(&[("DE", "d18"), ("GB", "u4 d14"), ("NO", "d11"), ("FR", "d10 u11 d2"), ("MT", "u4 d5 u18"), ("NL", "u4 d10"), ("CH", "d5 u12"), ("ES", "d20"), ("PL", "d24"), ("SE", "d20")]);
    let iban = draw.iban(country, pattern);
    let printed = iban.as_bytes().chunks(4).map(|c| std::str::from_utf8(c).unwrap());
    let printed = printed.collect::<Vec<_>>().join(" ");
    add("iban", plain, if sample.is_multiple_of(2) { iban } else { printed });
    let domain = *draw.one_of(&["example.com", "mail.example.co.uk", "xn--bcher-kva.example", "a-b.io", "Example.ORG"]);
    let local = *draw.one_of(&["l8", "l5 '.' l7", "l4 '+' l3 d2", "c6 '_' c2", "n1 '.' n9"]);
    let local = draw.pattern(local);
    add("email", &["{}", "write to {} now", "it was {}.", "\"{}\"", "Jo <{}>", "mailto:{}?subject=x", "e={}&m=1", "a,{},b"], format!("{local}@{domain}"));
    let phone = *draw.one_of(&["'+1' d10", "'+49' d10", "'+44 20 7' d3 ' ' d4", "'+1 (415) ' d3 '-' d4", "'+33 6 12 34 56 ' d2", "'+91-' d5 '-' d5"]);
    add("phone", plain, draw.pattern(phone));
    let octet = |draw: &mut Draw| 1 + draw.below(223);
    let v4 = format!("{}.{}.{}.{}", 1 + draw.below(126), octet(draw), octet(draw), octet(draw));
    add("ip", &["{}", "from {} today", "it was {}.", "http://{}:8080/", "[{}]", "for={}, 10", "{}/32", "a\n{}\nb"], v4);
    let v6 = *draw.one_of(&["'2001:db8::' h4", "'2a00:1450:' h4 ':' h4 ':' h4 ':' h4 ':' h4 ':' h4", "'fe80::' h4 ':' h4", "'fd00:' h4 '::1'"]);
    add("ip", &["{}", "from {} today", "http://[{}]:80/", "\"{}\"", "{}/64"], draw.pattern(v6));
}
