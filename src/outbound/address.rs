//! Which addresses are the public internet's: a name may lead anywhere, also to this machine or to a cloud's store of keys.
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What kind of place an address is, as far as it matters who may call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Somewhere in the public internet.
    Public,
    /// This machine, or one's own network.
    Private,
    /// The link alone, where clouds keep a machine's keys.
    Link,
    /// No place at all: unspecified, multicast, reserved, or an address within another that nobody should need.
    Nowhere,
}

/// Where an address leads.
pub fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(address) => reach_v4(address),
        IpAddr::V6(address) => reach_v6(address),
    }
}

#[expect(clippy::match_same_arms, reason = "one line a range, as the registries list them")]
fn reach_v4(address: Ipv4Addr) -> Reach {
    match address.octets() {
        [169, 254, ..] => Reach::Link,
        // Alibaba's and Azure's, which are in other ranges.
        [100, 100, 100, 200] | [168, 63, 129, 16] => Reach::Link,
        [127 | 10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => Reach::Private,
        // This network; protocol assignments, documentation, old relays.
        [0, ..] | [192, 0, 0 | 2, _] | [192, 88, 99, _] => Reach::Nowhere,
        // Benchmarks, documentation, multicast and above.
        [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _] | [224..=255, ..] => Reach::Nowhere,
        _ => Reach::Public,
    }
}

#[expect(clippy::match_same_arms, clippy::unnested_or_patterns, reason = "one line a range, as the registries list them")]
fn reach_v6(address: Ipv6Addr) -> Reach {
    match address.segments() {
        // An address of version 4 in the clothes of version 6, as it is or through a translator.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let [[a, b], [c, d]] = [high.to_be_bytes(), low.to_be_bytes()];
            reach_v4(Ipv4Addr::new(a, b, c, d))
        }
        [0, 0, 0, 0, 0, 0, 0, 1] => Reach::Private,
        [0xfe80..=0xfebf, ..] => Reach::Link,
        // Amazon's store of keys is in the private range.
        [0xfd00, 0x0ec2, ..] => Reach::Link,
        [0xfc00..=0xfdff, ..] => Reach::Private,
        // Protocol assignments and tunnels, documentation, 6to4, documentation again.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0xfff, ..] => Reach::Nowhere,
        [0x2000..=0x3fff, ..] => Reach::Public,
        _ => Reach::Nowhere,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_has_its_reach() {
        let table = [
            (
                Reach::Public,
                "8.8.8.8 1.1.1.1 172.15.0.1 172.32.0.1 100.63.0.1 100.128.0.1 192.169.0.1 223.255.255.255 2606:4700::1 2a00:1450::1 ::ffff:8.8.8.8 64:ff9b::808:808",
            ),
            (
                Reach::Private,
                "127.0.0.1 127.255.255.255 10.0.0.1 172.16.0.1 172.31.255.255 192.168.0.1 100.64.0.1 ::1 fc00::1 fdff::1 ::ffff:127.0.0.1 \
                 ::ffff:10.0.0.1 64:ff9b::a00:1",
            ),
            (
                Reach::Link,
                "169.254.169.254 100.100.100.200 168.63.129.16 169.254.0.1 fe80::1 febf::1 fd00:ec2::254 ::ffff:169.254.169.254 64:ff9b::a9fe:a9fe",
            ),
            (
                Reach::Nowhere,
                "0.0.0.0 0.1.2.3 192.0.0.1 192.0.2.1 192.88.99.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 240.0.0.1 255.255.255.255 :: ::2 ::7f00:1 \
                 ff02::1 2001::1 2001:db8::1 2002:7f00:1::1 2002:a9fe:a9fe:: 3fff::1 fec0::1 64:ff9b:1::1 4000::1 100::1 ::ffff:0:127.0.0.1",
            ),
        ];
        for (expected, addresses) in table {
            for address in addresses.split_whitespace() {
                assert_eq!(reach(address.parse().unwrap()), expected, "{address}");
            }
        }
    }
}
