//! Which IP addresses may be connected to: those of the public Internet, judged after a name was
//! resolved and for the very address that is connected to.
//!
//! Whoever controls a name can let it lead into the network that the gateway stands in. The
//! networks are those of the IANA special-purpose registries (RFC 6890) and of clouds' metadata.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// What an IP address belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// The public Internet.
    Public,
    /// Networks of one's own and this host: allowed where the operator says so.
    Private,
    /// Never connected to: metadata services, link-local, multicast, reserved and unassigned.
    Forbidden,
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(high: [u16; 3], prefix: u8) -> Ipv6Net {
    let [a, b, c] = high;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), prefix)
}

/// Private use (RFC 1918), loopback (RFC 1122) and carrier-grade NAT (RFC 6598).
const PRIVATE_V4: [Ipv4Net; 5] = [
    v4(10, 0, 0, 0, 8),
    v4(100, 64, 0, 0, 10),
    v4(127, 0, 0, 0, 8),
    v4(172, 16, 0, 0, 12),
    v4(192, 168, 0, 0, 16),
];

const FORBIDDEN_V4: [Ipv4Net; 12] = [
    v4(0, 0, 0, 0, 8),          // this network, RFC 791
    v4(100, 100, 100, 200, 32), // metadata inside carrier-grade NAT
    v4(168, 63, 129, 16, 32),   // metadata at a public address
    v4(169, 254, 0, 0, 16),     // link-local, RFC 3927, and most clouds' metadata
    v4(192, 0, 0, 0, 24),       // IETF protocol assignments, RFC 6890; metadata too
    v4(192, 0, 2, 0, 24),       // documentation, RFC 5737
    v4(192, 88, 99, 0, 24),     // 6to4 relays, RFC 7526
    v4(198, 18, 0, 0, 15),      // benchmarking, RFC 2544
    v4(198, 51, 100, 0, 24),    // documentation, RFC 5737
    v4(203, 0, 113, 0, 24),     // documentation, RFC 5737
    v4(224, 0, 0, 0, 4),        // multicast, RFC 5771
    v4(240, 0, 0, 0, 4),        // reserved and broadcast, RFC 1112
];

/// Unique local addresses (RFC 4193).
const UNIQUE_LOCAL: Ipv6Net = v6([0xfc00, 0, 0], 7);
/// Metadata services inside unique local addresses.
const METADATA_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];
/// The part of IPv6 that is given out (RFC 4291 section 2.4).
const GLOBAL_UNICAST: Ipv6Net = v6([0x2000, 0, 0], 3);
const FORBIDDEN_V6: [Ipv6Net; 3] = [
    v6([0x2001, 0, 0], 23), // IETF protocol assignments with Teredo, RFC 2928 and 4380
    v6([0x2001, 0xdb8, 0], 32), // documentation, RFC 3849
    v6([0x3fff, 0, 0], 20), // documentation, RFC 9637
];
/// IPv4 inside IPv6 by translation (RFC 6052): its last 32 bits.
const NAT64: Ipv6Net = v6([0x64, 0xff9b, 0], 96);
/// IPv4 inside IPv6 by 6to4 (RFC 3056): the 32 bits after its prefix.
const SIX_TO_FOUR: Ipv6Net = v6([0x2002, 0, 0], 16);

impl Network {
    /// Tells what an IP address belongs to. An IPv6 address that leads to an IPv4 address belongs
    /// to what that one belongs to.
    pub fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self::of_v4(ip),
            IpAddr::V6(ip) => Self::of_v6(ip),
        }
    }

    fn of_v4(ip: Ipv4Addr) -> Self {
        if FORBIDDEN_V4.iter().any(|network| network.contains(&ip)) {
            Self::Forbidden
        } else if PRIVATE_V4.iter().any(|network| network.contains(&ip)) {
            Self::Private
        } else {
            Self::Public
        }
    }

    fn of_v6(ip: Ipv6Addr) -> Self {
        let [_, _, a, b, c, d, .., w, x, y, z] = ip.octets();
        if NAT64.contains(&ip) {
            return Self::of_v4([w, x, y, z].into());
        }
        if SIX_TO_FOUR.contains(&ip) {
            return Self::of_v4([a, b, c, d].into());
        }
        if METADATA_V6.contains(&ip) {
            return Self::Forbidden;
        }
        if ip.is_loopback() || UNIQUE_LOCAL.contains(&ip) {
            return Self::Private;
        }
        if !GLOBAL_UNICAST.contains(&ip) || FORBIDDEN_V6.iter().any(|net| net.contains(&ip)) {
            return Self::Forbidden;
        }
        Self::Public
    }

    /// Tells whether it may be connected to.
    pub fn allowed(self, allow_private: bool) -> bool {
        match self {
            Self::Public => true,
            Self::Private => allow_private,
            Self::Forbidden => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(text: &str) -> Network {
        Network::of(text.parse().unwrap())
    }

    #[test]
    fn the_public_internet_is_public() {
        for text in [
            "1.1.1.1",
            "8.8.8.8",
            "52.94.5.1",
            "100.63.255.255",
            "100.128.0.1",
            "172.32.0.1",
            "169.253.0.1",
            "192.0.1.1",
            "223.255.255.255",
            "168.63.129.17",
            "2606:4700::1111",
            "2a05:d018::1",
            "2600:1f18::1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::1",
        ] {
            assert_eq!(of(text), Network::Public, "{text}");
        }
    }

    #[test]
    fn networks_of_ones_own_are_private_however_they_are_written() {
        for text in [
            "10.1.2.3",
            "127.0.0.1",
            "127.255.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "100.127.255.255",
            "::1",
            "fc00::1",
            "fdff::1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b::7f00:1",
            "2002:a00:1::1",
            "2002:7f00:1::",
            "2002:c0a8:101::1",
        ] {
            assert_eq!(of(text), Network::Private, "{text}");
        }
    }

    #[test]
    fn metadata_and_what_is_no_host_is_forbidden_even_where_private_is_allowed() {
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "169.254.170.2",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "198.18.0.1",
            "198.19.1.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::7f00:1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "64:ff9b:1::808:808",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
            "100::1",
            "5f00::1",
            "::ffff:0:0",
            "4000::1",
        ] {
            assert_eq!(of(text), Network::Forbidden, "{text}");
            assert!(!of(text).allowed(true));
        }
    }

    proptest! {
        #[test]
        fn an_ipv4_address_inside_an_ipv6_one_is_judged_alike(bits: u32, low: u64) {
            let ip = Ipv4Addr::from(bits);
            let [a, b, c, d] = ip.octets().map(u128::from);
            let four = (a << 24) | (b << 16) | (c << 8) | d;
            let mapped = (0xffff << 32) | four;
            let nat64 = (0x0064_ff9b << 96) | four;
            let six_to_four = (0x2002 << 112) | (four << 80) | u128::from(low);
            for inside in [mapped, nat64, six_to_four] {
                let inside = IpAddr::V6(inside.into());
                prop_assert_eq!(Network::of(inside), Network::of(ip.into()));
            }
        }
    }
}
