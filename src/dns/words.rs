//! Words of DNS for its numbers.

use std::borrow::Cow;

/// Record types by their numbers (IANA's registry of DNS parameters): those that are met.
const KINDS: [(u16, &str); 41] = [
    (1, "A"),
    (2, "NS"),
    (5, "CNAME"),
    (6, "SOA"),
    (10, "NULL"),
    (12, "PTR"),
    (13, "HINFO"),
    (15, "MX"),
    (16, "TXT"),
    (17, "RP"),
    (18, "AFSDB"),
    (24, "SIG"),
    (25, "KEY"),
    (28, "AAAA"),
    (29, "LOC"),
    (33, "SRV"),
    (35, "NAPTR"),
    (37, "CERT"),
    (39, "DNAME"),
    (41, "OPT"),
    (43, "DS"),
    (44, "SSHFP"),
    (45, "IPSECKEY"),
    (46, "RRSIG"),
    (47, "NSEC"),
    (48, "DNSKEY"),
    (50, "NSEC3"),
    (51, "NSEC3PARAM"),
    (52, "TLSA"),
    (59, "CDS"),
    (60, "CDNSKEY"),
    (61, "OPENPGPKEY"),
    (63, "ZONEMD"),
    (64, "SVCB"),
    (65, "HTTPS"),
    (99, "SPF"),
    (249, "TKEY"),
    (251, "IXFR"),
    (252, "AXFR"),
    (255, "ANY"),
    (257, "CAA"),
];

/// Codes of answers, in their order (RFC 1035 4.1.1, RFC 2136 2.2, RFC 8490 10.3).
const RCODES: [&str; 12] = [
    "NOERROR",
    "FORMERR",
    "SERVFAIL",
    "NXDOMAIN",
    "NOTIMP",
    "REFUSED",
    "YXDOMAIN",
    "YXRRSET",
    "NXRRSET",
    "NOTAUTH",
    "NOTZONE",
    "DSOTYPENI",
];

/// The word for a record type; one that is not met is `TYPE65280` (RFC 3597).
#[must_use]
pub fn kind_name(kind: u16) -> Cow<'static, str> {
    match KINDS.binary_search_by_key(&kind, |(known, _)| *known) {
        Ok(place) => KINDS[place].1.into(),
        Err(_) => format!("TYPE{kind}").into(),
    }
}

/// The word for the code of an answer; of one that has none, `RCODE13`.
#[must_use]
pub fn rcode_name(rcode: u8) -> Cow<'static, str> {
    match RCODES.get(usize::from(rcode)) {
        Some(name) => (*name).into(),
        None => format!("RCODE{rcode}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_all_numbers() {
        assert!(KINDS.is_sorted());
        assert_eq!(kind_name(1), "A");
        assert_eq!(kind_name(257), "CAA");
        assert_eq!(kind_name(65_280), "TYPE65280");
        assert_eq!(rcode_name(3), "NXDOMAIN");
        assert_eq!(rcode_name(15), "RCODE15");
    }
}
