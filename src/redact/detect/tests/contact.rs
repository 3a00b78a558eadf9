use super::*;

const EMAIL: Detecting = Detecting {
    email: true,
    ..NONE
};

const PHONE: Detecting = Detecting {
    phone: true,
    ..NONE
};

const IP: Detecting = Detecting { ip: true, ..NONE };

#[test]
fn addresses_of_e_mail() {
    for text in [
        "«a@example.com»",
        "Jo <«jo.doe+news@mail.example.co.uk»>, «b@b.io».",
        "mailto:«a_b@xn--bcher-kva.example»?x",
        "'«o'neil@example.com»'",
        "x=«a@example.com»&y",
    ] {
        expect(EMAIL, "email", text);
    }
    for text in [
        "@octocat",
        "a@b",
        "a@localhost",
        "logo@2x.png",
        "@scope/name@1.2.3",
        "git@github.com:owner/name.git",
        "ssh://git@github.com/owner/name",
        "https://user:password@example.com/",
        "a@-b.com",
        "a.@b.com",
        "[redacted]@example.com",
    ] {
        expect_nothing(EMAIL, text);
    }
}

#[test]
fn numbers_of_telephones() {
    for text in [
        "«+15005550006»",
        "tel:«+1 (500) 555-0006».",
        "«+49 30 123456», «+33.1.23.45.67.89»",
        "n=«+15005550006»&m",
        "«+15005550006», 2024-01-02",
        "+1 000, «+44 20 7946 0018»",
    ] {
        expect(PHONE, "phone", text);
    }
    for text in [
        "+1",
        "+0100000000",
        "15005550006",
        "a+15005550006",
        "+1234567890123456",
        "+15005550006a",
        "+123 additions",
        "2024-01-01T00:00:00+00:00",
        "1+2+3",
    ] {
        expect_nothing(PHONE, text);
    }
}

#[test]
fn addresses_of_hosts() {
    for text in [
        "«192.0.2.1»",
        "http://«192.0.2.1»:8080/, [«2001:db8::1»]:443.",
        "«2001:db8:0:0:0:0:0:1», «fd00::1»/64",
        "from «192.0.2.1».",
        "«::ffff:192.0.2.1»",
        "for=«192.0.2.1», «10.0.0.1»",
    ] {
        expect(IP, "ip", text);
    }
    for text in [
        "127.0.0.1",
        "0.0.0.0",
        "::1",
        "::",
        "1.2.3",
        "1.2.3.4.5",
        "256.1.1.1",
        "01.2.3.4",
        "v1.2.3.4",
        "version 1.2.3.4",
        "Chrome/120.0.0.0",
        "app-1.2.3.4",
        "10:30:45",
        "a::b",
        "Face::Dead",
        "0a:1b:2c:3d:4e:5f",
    ] {
        expect_nothing(IP, text);
    }
}
