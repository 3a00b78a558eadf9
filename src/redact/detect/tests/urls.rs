use super::*;

#[test]
fn values_of_parameters_whose_name_tells() {
    for text in [
        "https://h/?access_token=«abc»&x=1",
        "?a=1&X-Amz-Signature=«00ff»#top",
        "https://h/#id_token=«abc»",
        "?Signature=«a~b-c_»&Key-Pair-Id=«APKA»",
        "?sv=1&sig=«ab%2Bc%3D»",
        "a=1&amp;token=«abc»",
        "api_key=«abc»",
        "DefaultEndpointsProtocol=https;AccountKey=«abc+/==»;EndpointSuffix=x",
        "[link](https://h/?secret=«abc»).",
        "https%3A%2F%2Fh%2F%3Ftoken%3D«abc»%26b%3D1",
        "export AWS_SECRET_ACCESS_KEY=«wJalrXUtnFEMI/K7MDENG»",
        "?code=«4/0AX4XfWjYABCDEFGH»",
        "user=a password=«hunter2hunter2»",
    ] {
        expect(SECRETS, "url_parameter", text);
    }
}

#[test]
fn values_that_are_no_secret() {
    for text in [
        "?token=",
        "?token=ab",
        "?token=true&sig=null",
        "?token={token}&secret=${SECRET}&password=[redacted]",
        "?token=%7Btoken%7D",
        "?page_token=abcdefgh&nextToken=abcdefgh",
        "?key=PROJ-123&code=200",
        "?v=4&page=2&tokens=3&signed=yes",
        "the password = hunter2",
        "let token=next(scanner)",
        "a secret=plainword",
    ] {
        expect_nothing(SECRETS, text);
    }
}

#[test]
fn passwords_in_urls() {
    for text in [
        "postgres://app:«s3cret»@db/x",
        "amqp://u:«p@ss»@h",
        "redis://:«pw»@h",
        "see https://u:«pw»@h.example.",
        "https://«x9f8e7d6c5b4a3f2e1»@h",
        "https://«x9f8e7d6c5b4a3f2e1:x-oauth-basic»@h",
        "a://b:«c»@d e://f:«g»@h",
    ] {
        expect(SECRETS, "url_password", text);
    }
    for text in [
        "https://user@example.com/",
        "https://u:@h",
        "https://host-1.example.com@h",
        "https://u:[redacted]@h",
        "https://[redacted]@h",
        "http://h:8080/a@b",
        "https://h/@user",
        "https://h?a@b",
        "://u:p@h",
        "u:p@h",
    ] {
        expect_nothing(SECRETS, text);
    }
}

#[test]
fn urls_that_whoever_has_them_can_use() {
    for text in [
        "https://hooks.slack.com/services/«T0/B0/xxxxxxxx»",
        "https://hooks.slack.com/commands/«T024BE7LD/12345/abcdef»?x",
        "https://discord.com/api/webhooks/123456789012345678/«aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa»",
        "https://x.webhook.office.com/webhookb2/0b6b2d6e-0b6b-0b6b-0b6b-0b6b2d6e0b6b@a/«IncomingWebhook/00ff/0b6b»",
    ] {
        expect(SECRETS, "webhook_url", text);
    }
    for text in [
        "https://hooks.slack.com/",
        "https://hooks.slack.com/services/[redacted]",
        "https://api.github.com/repos/o/r/hooks/1",
        "https://example.com/api/webhooks/12",
    ] {
        expect_nothing(SECRETS, text);
    }
}
