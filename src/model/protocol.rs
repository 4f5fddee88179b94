//! Protocols over UDP, by name: what a connection speaks, or what its ports make likely. `src/protocol/` tells them.

use std::fmt;
use std::str::FromStr;

/// So like must a word be to one of ours, of 1 for the same.
const LIKE: f64 = 0.8;
/// From here on, systems give ports to any program (Linux's `ip_local_port_range`): an originator's port then tells nothing.
const EPHEMERAL_MIN: u16 = 32768;

macro_rules! protocols {
    ($($(#[$doc:meta])* $name:ident $word:literal),* $(,)?) => {
        /// What is spoken over a UDP connection. In the order of their words' subjects: names, transports, media, tunnels, and so on.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Protocol {
            $($(#[$doc])* $name,)*
        }

        impl Protocol {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The word for it: lower case, digits, hyphens.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }
    };
}

protocols! {
    /// Names of hosts (RFC 1035).
    Dns "dns",
    /// The same on one link, by multicast (RFC 6762).
    Mdns "mdns",
    /// The same, of Microsoft (RFC 4795).
    Llmnr "llmnr",
    /// Names of `NetBIOS` (RFC 1002 4.2).
    NetbiosNs "netbios-ns",
    /// Datagrams of `NetBIOS` (RFC 1002 4.4).
    NetbiosDgm "netbios-dgm",
    /// What HTTP/3 and more run over (RFC 9000).
    Quic "quic",
    /// TLS over datagrams (RFC 6347, RFC 9147).
    Dtls "dtls",
    /// How an end learns its address behind a translator (RFC 8489).
    Stun "stun",
    /// The same with a relay (RFC 8656).
    Turn "turn",
    /// Media (RFC 3550); encrypted media (SRTP), too, whose headers are the same.
    Rtp "rtp",
    /// Reports on media (RFC 3550 6).
    Rtcp "rtcp",
    /// Calls (RFC 3261).
    Sip "sip",
    /// A VPN.
    WireGuard "wireguard",
    /// A VPN.
    OpenVpn "openvpn",
    /// Keys of `IPsec` (RFC 7296, RFC 2409).
    Ike "ike",
    /// Packets of `IPsec` in UDP (RFC 3948).
    Esp "esp",
    /// A tunnel for Ethernet (RFC 7348).
    Vxlan "vxlan",
    /// A tunnel for Ethernet and more (RFC 8926).
    Geneve "geneve",
    /// A tunnel of mobile networks (3GPP TS 29.281).
    Gtpu "gtp-u",
    /// Clocks (RFC 5905).
    Ntp "ntp",
    /// Addresses for hosts (RFC 2131).
    Dhcp "dhcp",
    /// The same for IPv6 (RFC 9915).
    Dhcpv6 "dhcpv6",
    /// Management of devices (RFC 3416).
    Snmp "snmp",
    /// Log messages (RFC 5424, RFC 3164).
    Syslog "syslog",
    /// Files (RFC 1350).
    Tftp "tftp",
    /// Who may log in (RFC 2865).
    Radius "radius",
    /// Tickets (RFC 4120).
    Kerberos "kerberos",
    /// Directories (RFC 1798, and Microsoft's use of it).
    Cldap "cldap",
    /// Small devices (RFC 7252).
    Coap "coap",
    /// What `UPnP` devices announce.
    Ssdp "ssdp",
    /// Flow records (Cisco's; version 9 is RFC 3954).
    Netflow "netflow",
    /// The same, of the IETF (RFC 7011).
    Ipfix "ipfix",
    /// Samples of packets.
    Sflow "sflow",
    /// Metrics as lines of text.
    Statsd "statsd",
    /// A cache.
    Memcached "memcached",
    /// Transport of `BitTorrent` (BEP 29).
    Utp "utp",
    /// The distributed table of `BitTorrent` (BEP 5).
    BtDht "bt-dht",
    /// Trackers of `BitTorrent` (BEP 15).
    BtTracker "bt-tracker",
    /// Games on Valve's engine, and what is asked of their servers.
    Source "source",
    /// Games on id's engines, and what is asked of their servers.
    Quake "quake",
    /// A library of games: Minecraft Bedrock and others.
    Raknet "raknet",
    /// Luanti, which was Minetest.
    Luanti "luanti",
}

/// What ports make likely, in order: those that IANA has registered, and the usual ones of software that has none.
const PORTS: [(u16, Protocol); 52] = [
    (53, Protocol::Dns),
    (67, Protocol::Dhcp),
    (68, Protocol::Dhcp),
    (69, Protocol::Tftp),
    (88, Protocol::Kerberos),
    (123, Protocol::Ntp),
    (137, Protocol::NetbiosNs),
    (138, Protocol::NetbiosDgm),
    (161, Protocol::Snmp),
    (162, Protocol::Snmp),
    (389, Protocol::Cldap),
    (443, Protocol::Quic),
    (500, Protocol::Ike),
    (514, Protocol::Syslog),
    (546, Protocol::Dhcpv6),
    (547, Protocol::Dhcpv6),
    (853, Protocol::Quic),
    (1194, Protocol::OpenVpn),
    (1645, Protocol::Radius),
    (1646, Protocol::Radius),
    (1812, Protocol::Radius),
    (1813, Protocol::Radius),
    (1900, Protocol::Ssdp),
    (2055, Protocol::Netflow),
    (2152, Protocol::Gtpu),
    (3478, Protocol::Stun),
    (3479, Protocol::Stun),
    (3799, Protocol::Radius),
    (4500, Protocol::Esp),
    (4739, Protocol::Ipfix),
    (4789, Protocol::Vxlan),
    (5004, Protocol::Rtp),
    (5005, Protocol::Rtcp),
    (5060, Protocol::Sip),
    (5349, Protocol::Dtls),
    (5353, Protocol::Mdns),
    (5355, Protocol::Llmnr),
    (5683, Protocol::Coap),
    (5684, Protocol::Dtls),
    (6081, Protocol::Geneve),
    (6343, Protocol::Sflow),
    (6881, Protocol::BtDht),
    (8125, Protocol::Statsd),
    (8472, Protocol::Vxlan),
    (9995, Protocol::Netflow),
    (9996, Protocol::Netflow),
    (11211, Protocol::Memcached),
    (19132, Protocol::Raknet),
    (27015, Protocol::Source),
    (27960, Protocol::Quake),
    (30000, Protocol::Luanti),
    (51820, Protocol::WireGuard),
];

/// What others call them, which no word of ours comes close to.
const OTHERS: [(&str, Protocol); 14] = [
    ("domain", Protocol::Dns),
    ("http3", Protocol::Quic),
    ("h3", Protocol::Quic),
    ("webrtc", Protocol::Stun),
    ("srtp", Protocol::Rtp),
    ("voip", Protocol::Sip),
    ("wg", Protocol::WireGuard),
    ("ipsec", Protocol::Esp),
    ("isakmp", Protocol::Ike),
    ("bootp", Protocol::Dhcp),
    ("upnp", Protocol::Ssdp),
    ("ldap", Protocol::Cldap),
    ("torrent", Protocol::Utp),
    ("minecraft", Protocol::Raknet),
];

impl Protocol {
    /// Suricata's word for it in `app_proto` of its EVE records (`app-layer-protos.c` of version 8), where it has one.
    #[must_use]
    pub fn suricata(self) -> Option<&'static str> {
        match self {
            Self::Kerberos => Some("krb5"),
            Self::Cldap => Some("ldap"),
            Self::BtDht => Some("bittorrent-dht"),
            Self::Dns
            | Self::Mdns
            | Self::Llmnr
            | Self::Quic
            | Self::Sip
            | Self::Ike
            | Self::Ntp
            | Self::Dhcp
            | Self::Snmp
            | Self::Tftp => Some(self.word()),
            _ => None,
        }
    }

    /// Whether each end sends on its own clock, so that no packet is the answer to another.
    #[must_use]
    pub fn is_stream(self) -> bool {
        matches!(
            self,
            Self::Quic
                | Self::Dtls
                | Self::Rtp
                | Self::Rtcp
                | Self::WireGuard
                | Self::OpenVpn
                | Self::Esp
                | Self::Vxlan
                | Self::Geneve
                | Self::Gtpu
                | Self::Utp
                | Self::Raknet
                | Self::Luanti
        )
    }

    /// Whether the kernel reads ids at this port that an answer repeats of its request (`bpf/message.h`).
    #[must_use]
    pub fn has_ids_at(self, port: u16) -> bool {
        match self {
            Self::Dns => port == 53,
            Self::Ntp => port == 123,
            Self::Snmp => port == 161,
            Self::Radius => matches!(port, 1812 | 1813 | 1645 | 1646 | 3799),
            Self::Coap => port == 5683,
            _ => false,
        }
    }

    /// Whether nobody answers it.
    #[must_use]
    pub fn is_one_way(self) -> bool {
        matches!(
            self,
            Self::Syslog | Self::Statsd | Self::Netflow | Self::Ipfix | Self::Sflow
        )
    }

    /// What the ports alone make likely: the responder's (destination), or the originator's where it is one that is not given to
    /// any program.
    #[must_use]
    pub fn port_guess(source: u16, destination: u16) -> Option<Self> {
        let by_port = |port: u16| {
            let at = PORTS.binary_search_by_key(&port, |(port, _)| *port);
            at.ok().map(|at| PORTS[at].1)
        };
        by_port(destination).or_else(|| by_port(source).filter(|_| source < EPHEMERAL_MIN))
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// In small or capital letters. The error says what is likely to be meant, and all words.
impl FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let word = text.to_ascii_lowercase();
        let all = || Self::ALL.iter().copied();
        if let Some(protocol) = all().find(|protocol| protocol.word() == word) {
            return Ok(protocol);
        }
        let other = OTHERS.iter().find(|(other, _)| *other == word);
        let closest = || {
            all()
                .map(|protocol| (strsim::jaro(protocol.word(), &word), protocol))
                .max_by(|one, other| one.0.total_cmp(&other.0))
                .filter(|(likeness, _)| *likeness > LIKE)
        };
        let meant = other
            .map(|(_, protocol)| *protocol)
            .or_else(|| closest().map(|(_, protocol)| protocol))
            .map_or_else(String::new, |meant| format!("do you mean {meant}? Use "));
        let words: Vec<&str> = all().map(Self::word).collect();
        Err(format!("{meant}one of {}", words.join(", ")))
    }
}

/// What the payload of a connection has said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Heard {
    /// Nothing that tells: none of it was read, or it fits what the port makes likely.
    #[default]
    Nothing,
    /// This.
    Says(Protocol),
    /// Something else than what the port makes likely, that no protocol is known by.
    Other,
}

impl Heard {
    const OTHER: u8 = u8::MAX;

    /// What it says.
    #[must_use]
    pub fn protocol(self) -> Option<Protocol> {
        match self {
            Self::Says(protocol) => Some(protocol),
            Self::Nothing | Self::Other => None,
        }
    }

    /// A number for it, for tables that this build alone reads.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Nothing => 0,
            Self::Says(protocol) => protocol as u8 + 1,
            Self::Other => Self::OTHER,
        }
    }

    /// What has that number.
    #[must_use]
    pub fn of_number(number: u8) -> Self {
        let place = usize::from(number).checked_sub(1);
        match place.and_then(|place| Protocol::ALL.get(place)) {
            Some(protocol) => Self::Says(*protocol),
            None if number == Self::OTHER => Self::Other,
            None => Self::Nothing,
        }
    }
}

/// What a connection speaks: shown as `dns`, or as `dns?` where its ports alone say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Spoken {
    /// The protocol.
    pub protocol: Protocol,
    /// Its ports say so, and nothing that was heard.
    pub is_guess: bool,
}

impl Spoken {
    /// What a payload says.
    #[must_use]
    pub fn said(protocol: Protocol) -> Self {
        Self {
            protocol,
            is_guess: false,
        }
    }

    /// What the ports alone make likely ([`Protocol::port_guess`]).
    #[must_use]
    pub fn guess(source: u16, destination: u16) -> Option<Self> {
        let protocol = Protocol::port_guess(source, destination)?;
        Some(Self {
            protocol,
            is_guess: true,
        })
    }
}

impl fmt::Display for Spoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_guess {
            f.pad(&format!("{}?", self.protocol))
        } else {
            self.protocol.fmt(f)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_word_of_its_own_and_is_found_by_it() {
        for protocol in Protocol::ALL.iter().copied() {
            let word = protocol.word();
            assert_eq!(word.parse(), Ok(protocol));
            assert_eq!(word.to_ascii_uppercase().parse(), Ok(protocol));
            let heard = Heard::Says(protocol);
            assert_eq!(Heard::of_number(heard.number()), heard);
            let is_plain =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            assert!(word.bytes().all(is_plain) && word.len() <= 11, "{word}");
        }
        for (other, _) in OTHERS {
            assert!(other.parse::<Protocol>().is_err(), "{other}");
        }
    }

    #[test]
    fn an_unknown_word_is_told_what_is_meant() {
        for (word, meant) in [
            ("wiregard", "do you mean wireguard? Use one of dns, mdns, "),
            ("qiuc", "do you mean quic? Use one of dns, "),
            ("domain", "do you mean dns? Use one of dns, "),
            ("srtp", "do you mean rtp? Use one of dns, "),
            ("xyz", "one of dns, "),
            ("", "one of dns, "),
        ] {
            let said = word.parse::<Protocol>().unwrap_err();
            assert!(said.starts_with(meant), "{word}: {said}");
        }
    }

    #[test]
    fn ports_make_a_guess() {
        assert!(PORTS.is_sorted_by(|one, other| one.0 < other.0));
        for (source, destination, word) in [
            (40000, 53, "dns?"),
            (53, 40000, "dns?"),
            (5353, 53, "dns?"),
            (40000, 51820, "wireguard?"),
            (500, 500, "ike?"),
        ] {
            let spoken = Spoken::guess(source, destination).unwrap();
            assert_eq!(spoken.to_string(), word);
        }
        for (source, destination) in [(40000, 50000), (51820, 40000), (0, 0)] {
            assert_eq!(Protocol::port_guess(source, destination), None);
        }
    }

    #[test]
    fn words_of_suricata() {
        let words: Vec<&str> = Protocol::ALL
            .iter()
            .filter_map(|protocol| protocol.suricata())
            .collect();
        assert_eq!(
            words,
            [
                "dns",
                "mdns",
                "llmnr",
                "quic",
                "sip",
                "ike",
                "ntp",
                "dhcp",
                "snmp",
                "tftp",
                "krb5",
                "ldap",
                "bittorrent-dht"
            ]
        );
    }

    #[test]
    fn it_is_shown_as_wide_as_asked() {
        let spoken = |is_guess| Spoken {
            protocol: Protocol::Ntp,
            is_guess,
        };
        assert_eq!(format!("{:6}|", spoken(true)), "ntp?  |");
        assert_eq!(format!("{:6}|", spoken(false)), "ntp   |");
    }
}
