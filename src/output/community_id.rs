//! Community ID, version 1, seed 0: the name that other tools give the same conversation.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// IANA's number of UDP.
const UDP: u8 = 17;

/// The Community ID of a UDP connection: the same for both directions, and shown as `1:` and Base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommunityId([u8; 20]);

impl CommunityId {
    /// The id of the connection between two ends, in any order.
    #[must_use]
    pub fn new(one: SocketAddr, other: SocketAddr) -> Self {
        Self::of(UDP, one, other)
    }

    /// `sha1(seed . smaller address . larger address . protocol . 0 . port . port)`, numbers in network order.
    fn of(protocol: u8, one: SocketAddr, other: SocketAddr) -> Self {
        // IpAddr orders as the bytes do; equal addresses let the ports decide.
        let ends = |end: SocketAddr| (end.ip(), end.port());
        let (low, high) = if ends(one) <= ends(other) {
            (one, other)
        } else {
            (other, one)
        };
        let mut hash = Sha1::new();
        hash.update([0, 0]);
        update_address(&mut hash, low.ip());
        update_address(&mut hash, high.ip());
        hash.update([protocol, 0]);
        hash.update(low.port().to_be_bytes());
        hash.update(high.port().to_be_bytes());
        Self(hash.finalize().into())
    }
}

fn update_address(hash: &mut Sha1, address: IpAddr) {
    match address {
        IpAddr::V4(address) => hash.update(address.octets()),
        IpAddr::V6(address) => hash.update(address.octets()),
    }
}

impl fmt::Display for CommunityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // 20 bytes are 28 characters.
        let mut text = [0; 28];
        let length = STANDARD
            .encode_slice(self.0, &mut text)
            .map_err(|_| fmt::Error)?;
        f.write_str("1:")?;
        f.write_str(str::from_utf8(&text[..length]).map_err(|_| fmt::Error)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: u8 = 6;

    #[track_caller]
    fn check(protocol: u8, one: &str, other: &str, expected: &str) {
        let (one, other) = (one.parse().unwrap(), other.parse().unwrap());
        assert_eq!(CommunityId::of(protocol, one, other).to_string(), expected);
        assert_eq!(CommunityId::of(protocol, other, one).to_string(), expected);
    }

    // The vectors of baseline_deflt.json in the specification's repository. It has no UDP over IPv6: TCP's
    // differ from UDP's in one byte of the input.
    #[test]
    fn published_vectors() {
        check(
            UDP,
            "192.168.1.52:54585",
            "8.8.8.8:53",
            "1:d/FP5EW3wiY1vCndhwleRRKHowQ=",
        );
        check(
            TCP,
            "128.232.110.120:34855",
            "66.35.250.204:80",
            "1:LQU9qZlK+B5F3KDmev6m5PMibrg=",
        );
        check(
            TCP,
            "[2001:470:e5bf:dead:4957:2174:e82c:4887]:63943",
            "[2607:f8b0:400c:c03::1a]:25",
            "1:/qFaeAR+gFe1KYjMzVDsMv+wgU4=",
        );
    }

    #[test]
    fn udp_is_the_protocol() {
        let (one, other) = (
            "192.168.1.52:54585".parse().unwrap(),
            "8.8.8.8:53".parse().unwrap(),
        );
        assert_eq!(
            CommunityId::new(one, other),
            CommunityId::of(UDP, one, other)
        );
    }

    #[test]
    fn equal_addresses_are_ordered_by_port() {
        let (one, other) = (
            "10.0.0.1:5000".parse().unwrap(),
            "10.0.0.1:600".parse().unwrap(),
        );
        assert_eq!(CommunityId::new(one, other), CommunityId::new(other, one));
    }
}
