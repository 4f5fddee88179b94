//! What a QUIC connection said, in the form of Suricata's EVE. Pure data; the field order is the order in the output.

use serde::Serialize;

use super::eve::{Head, Setting};
use crate::model::{QuicFacts, Sample};

/// One QUIC connection, once its first datagrams were read.
#[derive(Serialize)]
pub struct QuicRecord<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    quic: Quic<'a>,
    udptrack: Own<'a>,
}

#[derive(Serialize)]
struct Quic<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sni: Option<&'a str>,
}

/// What EVE has no field for.
#[derive(Serialize)]
struct Own<'a> {
    event: &'static str,
    conn_id: String,
    /// What the client offers: the server's choice is encrypted.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    alpn: &'a [Box<str>],
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    retry: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    version_negotiation: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    zero_rtt: bool,
    /// From the client's first Initial packet to the server's first Handshake packet.
    #[serde(skip_serializing_if = "Option::is_none")]
    handshake_ns: Option<u64>,
    /// Why the server has ended it before its handshake.
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_cid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_cid: Option<String>,
    /// The connection with the same id from another address: a hint.
    #[serde(skip_serializing_if = "Option::is_none")]
    may_continue: Option<String>,
}

impl<'a> QuicRecord<'a> {
    pub(super) fn new(
        setting: Setting<'a>,
        written_ns: u64,
        sample: &Sample,
        facts: &'a QuicFacts,
    ) -> Self {
        Self {
            head: Head::new(setting, written_ns, sample, "quic"),
            quic: Quic {
                version: facts.version.map(|version| version.to_string()),
                sni: facts.server_name.as_deref(),
            },
            udptrack: Own {
                event: "quic",
                conn_id: sample.id.to_string(),
                alpn: &facts.offered,
                retry: facts.has_retry,
                version_negotiation: facts.has_negotiation,
                zero_rtt: facts.has_zero_rtt,
                handshake_ns: facts.handshake_ns,
                refusal: facts.refusal,
                client_cid: facts.client_id.map(|id| id.to_string()),
                server_cid: facts.server_id.map(|id| id.to_string()),
                may_continue: facts.may_continue.map(|id| id.to_string()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{ALL_KINDS, ETH0, clock, sample};
    use super::super::{Choice, JsonLines, Kinds, Output as _, Records};
    use super::*;
    use crate::model::{ConnectionId, Heard, Protocol, QuicId, QuicVersion};

    fn written(kinds: Kinds, facts: &QuicFacts) -> String {
        let choice = Choice {
            kinds,
            ..Choice::default()
        };
        let mut said = sample();
        said.heard = Heard::Says(Protocol::Quic);
        let mut out = Vec::new();
        Records::new(JsonLines::new(&mut out), clock(), choice)
            .quic(&said, facts, &ETH0)
            .unwrap();
        String::from_utf8(out).unwrap()
    }

    /// `quic` has what Suricata's schema has for it, and no more.
    #[test]
    fn all_that_a_connection_said() {
        let facts = QuicFacts {
            version: Some(QuicVersion::TWO),
            server_name: Some("www.example.org".into()),
            offered: vec!["h3".into(), "h3-29".into()],
            refused: 1,
            has_retry: true,
            has_negotiation: true,
            has_zero_rtt: true,
            client_id: QuicId::new(&[]),
            server_id: QuicId::new(&[1, 0xab]),
            handshake_ns: Some(23_578_000),
            refusal: Some(0x178),
            may_continue: Some(ConnectionId(7)),
        };
        let expected = concat!(
            r#"{"timestamp":"2026-04-07T22:25:30.000000+0100","event_type":"quic","flow_id":8086463330923024,"#,
            r#""in_iface":"eth0","src_ip":"192.168.1.100","src_port":12345,"dest_ip":"8.8.8.8","dest_port":53,"#,
            r#""proto":"UDP","app_proto":"quic","ip_v":4,"community_id":"1:8mwINSCnpXZ99maItp5xx+7Pm7c=","#,
            r#""quic":{"version":"v2","sni":"www.example.org"},"#,
            r#""udptrack":{"event":"quic","conn_id":"0xfedcba9876543210","alpn":["h3","h3-29"],"retry":true,"#,
            r#""version_negotiation":true,"zero_rtt":true,"handshake_ns":23578000,"refusal":376,"client_cid":"","server_cid":"01ab","#,
            r#""may_continue":"0x0000000000000007"}}"#,
            "\n"
        );
        assert_eq!(written(ALL_KINDS, &facts), expected);
    }

    #[test]
    fn what_is_not_known_or_not_asked_for_is_left_out() {
        let line = written(ALL_KINDS, &QuicFacts::default());
        let tail = r#""quic":{},"udptrack":{"event":"quic","conn_id":"0xfedcba9876543210"}}"#;
        assert!(line.ends_with(&format!("{tail}\n")), "{line}");
        let others = Kinds {
            quic: false,
            ..ALL_KINDS
        };
        assert_eq!(written(others, &QuicFacts::default()), "");
    }
}
