//! The samples of definitions, and those of ways to sign that are not the usual one.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use sha2::{Digest, Sha256};

use crate::cases::Case;

/// A delivery that is not signed yet.
pub(crate) struct Sample {
    pub(crate) method: Method,
    pub(crate) query: String,
    pub(crate) content_type: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

const FORM: &str = "application/x-www-form-urlencoded";

const SNS: &str = r#"{"Type":"$TYPE","MessageId":"$ID",$MORE"TopicArn":"arn:aws:sns:us-west-2:123456789012:MyTopic","Message":"Hello","Timestamp":"$TIME","SignatureVersion":"$VERSION","Signature":"$TAG","SigningCertURL":"https://sns.us-west-2.amazonaws.com/SimpleNotificationService-1.pem"}"#;

/// Returns the sample of a case: its definition's, if that fits the scheme.
pub(crate) fn sample_of(case: &Case) -> Sample {
    let usual = &case.provider.sample;
    let mut sample = Sample {
        method: usual.method.parse().unwrap(),
        query: String::new(),
        content_type: usual.content_type.clone(),
        headers: usual.headers.clone(),
        body: usual.body.clone(),
    };
    let when = &case.scheme.when;
    let posted = when.method != Some(Method::GET);
    let form = |body: &str, sample: &mut Sample| {
        FORM.clone_into(&mut sample.content_type);
        body.clone_into(&mut sample.body);
    };
    match (&*case.provider.name, case.scheme.name.as_str()) {
        ("adyen", "header") => {
            sample.body =
                r#"{"type":"balancePlatform.transfer.created","data":{"id":"$ID"}}"#.into();
        }
        ("mailgun", "form") => form(
            "timestamp=$TIME&token=$ID&signature=$TAG&event=delivered&recipient=a%40example.com",
            &mut sample,
        ),
        ("vonage", "sms-sig" | "sms-md5hash") if posted => form(
            "msisdn=447700900001&to=447700900000&messageId=$ID&text=a%26b%3Dc&timestamp=$TIME&sig=$TAG",
            &mut sample,
        ),
        ("vonage", "sms-sig" | "sms-md5hash") => {
            "msisdn=447700900001&messageId=4711&text=a%26b%3Dc".clone_into(&mut sample.query);
        }
        ("plivo", "v3") if !posted => {
            "CallUUID=4711&From=15551234567".clone_into(&mut sample.query);
        }
        ("aws-sns", _) => {
            let confirms = !when.present.is_empty();
            let (kind, more) = match confirms {
                true => (
                    "SubscriptionConfirmation",
                    r#""Token":"2336412f37","SubscribeURL":"https://sns.us-west-2.amazonaws.com/?Action=ConfirmSubscription","#,
                ),
                false => ("Notification", r#""Subject":"My First Message","#),
            };
            let versions = when.equals.iter().map(|(_, texts)| texts[0].as_str());
            let version = versions.into_iter().find(|text| text.len() == 1).unwrap();
            sample.body = SNS
                .replace("$TYPE", kind)
                .replace("$MORE", more)
                .replace("$VERSION", version);
        }
        ("microsoft-graph", "validationTokens") => {
            sample.body = r#"{"value":[{"id":"$ID","subscriptionId":"7f105c7d-2dc5-4530-97cd-4e7ae6534c07","changeType":"created"}],"validationTokens":["$TOKEN"]}"#.into();
        }
        ("travis-ci", _) => form(
            "payload=%7B%22id%22%3A4711%2C%22state%22%3A%22passed%22%7D",
            &mut sample,
        ),
        _ => {}
    }
    if let Some(method) = when.method.clone().filter(|method| *method != Method::POST) {
        sample.method = method;
        sample.body = String::new();
    }
    if let Some(name) = when.header.clone() {
        let value = "eventemitter.example.com".to_owned();
        sample.headers.entry(name).or_insert(value);
    }
    sample
}

/// Signatures of samples with RSA and SHA-1, by the first bytes of their content's SHA-256.
const RECORDED: &[(&str, &str)] = &[
    (
        "b739b49279e2799e",
        "dW+2ejiqsLzFBnjFsE77/ZAfU75sxE9TNTOs8dPzcenkyks9FUDalajorW4FLZ3gpMn636ZXUTIVrBS0rkVbhhSXJNbiAbrB067YhBfefarfg9WHB9k09uYNvp3OiPbXz3Pn/XM5O7kTTLzDJAZGDy3FETeObdPHPr8Flf2rwnjJXrXPFQjJP0tsDuJsf6tsesSVZG9b9RjINdK7zVAmePOdp8JmFVY2xb1QEXh5Y+m8jGXOwI6aWCYbnVkxR0HQb7DVmtioYcYwq0m8CKsHOW+VIitJFby7O2cpSn1HzSgsWvmwknQaZB4IQwXik8myDNcLDZcKLnx5zS42w2BsVA==",
    ),
    (
        "dd5efdf077182b8a",
        "PsOwVjUII/PjVXhInjkWjZxk1tPhWgzNHV3DgZ93IHY9s23v9a9G8zWlT9EM09bWrBHALmeo4O+QZ4uVPUm1JoKjpeQz4AfX+s5UgSyuKMtNJDcGS3v3MRatnGc4H5fvm5pdIdX0VKG09iZ06Sv/sIA+uBOBuyTP3h37YPVbttSn/tzXz33Mm7/BBp7n1moXT5taMAO/zBz+nkgC/Dzfno85BwkIg1YT0wMsCuJpvRvaMvzn7ohQQQpWATJ04f1wpWCoD8/QlBiB/G4BNfhGEoKfSGvSbWT2Kuf4ezM12tP4T5G/yqlEGjb4+oBtvkwW1EQrZV25o16fHu0vQUAYMQ==",
    ),
    (
        "c61f836d946cf6b1",
        "qJgxHk1f9R50RSvAuHb3Q9JGiNjowOtq8SYuET5ePH6D/nDC+hHJbgLNmtFdwh28vCNdMaW8fBLW1sQai9D9jLIC72/GAsgvk8MrtT+LiglFztUPlP3v/71s4QmcFcz6ukUvhLYHfOBwZDRYLwoqXLriHiSA/hzOKmTErkroSHidqHdksBqJC7VEEQWxJ3eKo+Z0UxXd5r52epOaOugw4INTsS1edVgibvqqok4wHpz77LWj8OePzn0/HfxISZo1e1lCaNb01Q2zcGfliYNzookCwE5VsMoZKzvzdRX0ciO8urGi6mrG2l8AK41MCDDm4LWtKbMK6TBEUFPdripNRg==",
    ),
];

/// Returns the signature over a message that was made once with the known key.
pub(crate) fn recorded(known: bool, message: &[u8]) -> Option<Vec<u8>> {
    let digest = hex::encode(Sha256::digest(message));
    let found = RECORDED.iter().find(|(known, _)| digest.starts_with(known));
    let (_, made) = found.filter(|_| known)?;
    STANDARD.decode(made).ok()
}
