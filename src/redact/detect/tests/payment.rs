use super::*;

const PAYMENT: Detecting = Detecting {
    payment: true,
    ..NONE
};

#[test]
fn cards_are_found_in_groups_or_not() {
    for text in [
        "«4111111111111111»",
        "«4111 1111 1111 1111»",
        "«4111-1111-1111-1111»",
        "«3782 822463 10005», «378282246310005»",
        "card «4111111111111111» 12/34 123",
        "«4111 1111 1111 1111» 123",
        "n=«5555555555554444»&m=1",
        "2024-01-02 «4111 1111 1111 1111»",
        "«6205500000000000004»",
        "%3D«4111111111111111»%26",
    ] {
        expect(PAYMENT, "card", text);
    }
}

#[test]
fn other_numbers_are_no_cards() {
    for text in [
        "4111111111111112",
        "4111 1111-1111 1111",
        "4111  1111 1111 1111",
        "41111111111111111",
        "a4111111111111111",
        "4111111111111111b",
        "ORDER-4111111111111111",
        "id_4111111111111111",
        "https://example.com/4111111111111111",
        "0.4111111111111111",
        "4111111111111111.25",
        "+4111111111111111",
        // Visa's of 19 digits look like ids, and its old ones of 13 like times.
        "4977069964384421269",
        "4222222222222",
        "1700000000000000",
        "0000000000000000",
    ] {
        expect_nothing(PAYMENT, text);
    }
}

#[test]
fn ibans_are_found_in_print_or_not() {
    for text in [
        "«GB82WEST12345698765432»",
        "«GB82 WEST 1234 5698 7654 32»",
        "to «NO9386011117947».",
        "IBAN: «DE89 3704 0044 0532 0130 00» BIC: COBADEFFXXX",
        "«MT84MALT011000012345MTLCAST001S», «DE89370400440532013000»",
    ] {
        expect(PAYMENT, "iban", text);
    }
}

#[test]
fn other_words_are_no_ibans() {
    for text in [
        "GB82WEST12345698765433",
        "GB82WEST1234569876543",
        "GB82WEST123456987654321",
        "GB82 WE ST12 3456 9876 5432",
        "XX82WEST12345698765432",
        "AGB82WEST12345698765432",
        "gb82west12345698765432",
    ] {
        expect_nothing(PAYMENT, text);
    }
}
