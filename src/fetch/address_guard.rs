//! Says which IP addresses are on the public internet.
//!
//! An address named by someone else must not lead into this machine or its network:
//! a cloud's metadata service, a router, a database without a password. The predicate
//! is pure; [`resolver`](super::resolver) and [`http`](super::http) apply it to names
//! and to literal addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(a: u16, b: u16, c: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), prefix)
}

/// IPv4 ranges that are not public: the IANA IPv4 Special-Purpose Address Registry
/// (entries that are not globally reachable) and the multicast space.
///
/// `192.0.0.9` and `192.0.0.10` are globally reachable by that registry, but they are
/// anycast services for port control and TURN that hold no pictures.
const NOT_PUBLIC_V4: [Ipv4Net; 16] = [
    v4(0, 0, 0, 0, 8),          // "this network", RFC 791
    v4(10, 0, 0, 0, 8),         // private use, RFC 1918
    v4(100, 64, 0, 0, 10),      // carrier-grade NAT, RFC 6598
    v4(127, 0, 0, 0, 8),        // loopback, RFC 1122
    v4(169, 254, 0, 0, 16),     // link local and cloud metadata, RFC 3927
    v4(172, 16, 0, 0, 12),      // private use, RFC 1918
    v4(192, 0, 0, 0, 24),       // IETF protocol assignments, RFC 6890
    v4(192, 0, 2, 0, 24),       // documentation, RFC 5737
    v4(192, 88, 99, 0, 24),     // 6to4 relay, deprecated, RFC 7526
    v4(192, 168, 0, 0, 16),     // private use, RFC 1918
    v4(198, 18, 0, 0, 15),      // benchmarks, RFC 2544
    v4(198, 51, 100, 0, 24),    // documentation, RFC 5737
    v4(203, 0, 113, 0, 24),     // documentation, RFC 5737
    v4(224, 0, 0, 0, 4),        // multicast, RFC 5771
    v4(240, 0, 0, 0, 4),        // reserved, RFC 1112
    v4(255, 255, 255, 255, 32), // limited broadcast, RFC 8190
];

/// IPv6 global unicast as allocated so far, IANA IPv6 Address Space. What lies
/// outside is loopback, link local, unique local, multicast or unassigned.
const GLOBAL_UNICAST_V6: Ipv6Net = v6(0x2000, 0, 0, 3);

/// Parts of [`GLOBAL_UNICAST_V6`] that are not public: the IANA IPv6 Special-Purpose
/// Address Registry.
const NOT_PUBLIC_V6: [Ipv6Net; 4] = [
    v6(0x2001, 0, 0, 23),     // IETF protocol assignments with Teredo, RFC 2928
    v6(0x2001, 0xdb8, 0, 32), // documentation, RFC 3849
    v6(0x2002, 0, 0, 16),     // 6to4: reaches whatever IPv4 address is inside, RFC 3056
    v6(0x3fff, 0, 0, 20),     // documentation, RFC 9637
];

/// The well-known NAT64 prefix: the last 32 bits are the IPv4 address reached, RFC 6052.
const NAT64: Ipv6Net = v6(0x64, 0xff9b, 0, 96);

/// Returns true when `address` is on the public internet.
///
/// An IPv4 address inside an IPv6 one (mapped or NAT64) is judged as itself.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !NOT_PUBLIC_V4.iter().any(|net| net.contains(&address))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(mapped) = address.to_ipv4_mapped() {
        return is_public_v4(mapped);
    }
    if NAT64.contains(&address) {
        let [.., a, b, c, d] = address.octets();
        return is_public_v4(Ipv4Addr::new(a, b, c, d));
    }
    GLOBAL_UNICAST_V6.contains(&address) && !NOT_PUBLIC_V6.iter().any(|net| net.contains(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public(text: &str) -> bool {
        is_public(text.parse().unwrap())
    }

    #[test]
    fn special_ipv4_ranges_are_refused_from_first_to_last_address() {
        for (first, last) in [
            ("0.0.0.0", "0.255.255.255"),
            ("10.0.0.0", "10.255.255.255"),
            ("100.64.0.0", "100.127.255.255"),
            ("127.0.0.0", "127.255.255.255"),
            ("169.254.0.0", "169.254.255.255"),
            ("172.16.0.0", "172.31.255.255"),
            ("192.0.0.0", "192.0.0.255"),
            ("192.0.2.0", "192.0.2.255"),
            ("192.88.99.0", "192.88.99.255"),
            ("192.168.0.0", "192.168.255.255"),
            ("198.18.0.0", "198.19.255.255"),
            ("198.51.100.0", "198.51.100.255"),
            ("203.0.113.0", "203.0.113.255"),
            ("224.0.0.0", "255.255.255.255"),
        ] {
            assert!(!public(first), "{first}");
            assert!(!public(last), "{last}");
        }
    }

    #[test]
    fn their_public_neighbours_are_not() {
        for address in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.3.0",
            "192.88.98.255",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "8.8.8.8",
        ] {
            assert!(public(address), "{address}");
        }
    }

    #[test]
    fn special_ipv6_addresses_are_refused() {
        for address in [
            "::",
            "::1",
            "::7f00:1",         // IPv4-compatible, deprecated
            "64:ff9b:1::1",     // local NAT64
            "100::1",           // discard
            "100:0:0:1::1",     // dummy
            "2001::1",          // Teredo
            "2001:2::1",        // benchmarks
            "2001:10::1",       // ORCHID
            "2001:1ff:ffff::1", // last of the protocol assignments
            "2001:db8::1",      // documentation
            "2002:7f00:1::",    // 6to4 to loopback
            "2002:808:808::1",  // 6to4 to a public address
            "3fff::1",          // documentation
            "5f00::1",          // segment routing
            "fc00::1",          // unique local
            "fd00:ec2::254",    // unique local, cloud metadata
            "fe80::1",          // link local
            "fec0::1",          // site local
            "ff02::1",          // multicast
            "4000::1",          // unassigned
        ] {
            assert!(!public(address), "{address}");
        }
    }

    #[test]
    fn global_ipv6_addresses_are_public() {
        for address in ["2001:200::1", "2606:4700::6810:84e5", "2a00:1450::1", "3ffe::1"] {
            assert!(public(address), "{address}");
        }
    }

    #[test]
    fn ipv4_inside_ipv6_is_judged_as_itself() {
        for inside in ["127.0.0.1", "10.1.2.3", "169.254.169.254"] {
            assert!(!public(&format!("::ffff:{inside}")), "{inside}");
            assert!(!public(&format!("64:ff9b::{inside}")), "{inside}");
        }
        assert!(public("::ffff:8.8.8.8"));
        assert!(public("64:ff9b::8.8.8.8"));
    }
}
