//! Recognizes each protocol. A teller looks at one datagram; `None` means that its bytes end before it can decide.

mod bittorrent;
mod cldap;
mod coap;
mod dhcp;
mod dns;
mod dtls;
mod games;
mod ipsec;
mod kerberos;
mod memcached;
mod netbios;
mod netflow;
mod ntp;
mod openvpn;
mod quic;
mod radius;
mod rtp;
mod sip;
mod snmp;
mod ssdp;
mod statsd;
mod stun;
mod syslog;
#[cfg(test)]
mod tests;
mod tftp;
mod tunnels;
mod wireguard;

use super::datagram::Datagram;
use super::fit::Fit;
use crate::model::Protocol;

type Teller = fn(&Datagram<'_>) -> Option<Fit>;

/// All of them, in the order in which they are asked: the first that is sure has it. Those that tell little come last.
pub(super) const TELLERS: &[(Protocol, Teller)] = &[
    (Protocol::Turn, stun::turn),
    (Protocol::Stun, stun::stun),
    (Protocol::Dtls, dtls::dtls),
    (Protocol::Quic, quic::quic),
    (Protocol::WireGuard, wireguard::wireguard),
    (Protocol::OpenVpn, openvpn::openvpn),
    (Protocol::Ike, ipsec::ike),
    (Protocol::Dhcp, dhcp::dhcp),
    (Protocol::Dhcpv6, dhcp::dhcpv6),
    (Protocol::Snmp, snmp::snmp),
    (Protocol::Kerberos, kerberos::kerberos),
    (Protocol::Cldap, cldap::cldap),
    (Protocol::Sip, sip::sip),
    (Protocol::Ssdp, ssdp::ssdp),
    (Protocol::Syslog, syslog::syslog),
    (Protocol::Statsd, statsd::statsd),
    (Protocol::BtDht, bittorrent::dht),
    (Protocol::BtTracker, bittorrent::tracker),
    (Protocol::Memcached, memcached::memcached),
    (Protocol::Raknet, games::raknet),
    (Protocol::Luanti, games::luanti),
    (Protocol::Source, games::source),
    (Protocol::Quake, games::quake),
    (Protocol::Ipfix, netflow::ipfix),
    (Protocol::Netflow, netflow::netflow),
    (Protocol::Sflow, netflow::sflow),
    (Protocol::Vxlan, tunnels::vxlan),
    (Protocol::Geneve, tunnels::geneve),
    (Protocol::Gtpu, tunnels::gtpu),
    (Protocol::NetbiosNs, netbios::names),
    (Protocol::NetbiosDgm, netbios::datagrams),
    (Protocol::Mdns, dns::mdns),
    (Protocol::Llmnr, dns::llmnr),
    (Protocol::Dns, dns::dns),
    (Protocol::Tftp, tftp::tftp),
    (Protocol::Ntp, ntp::ntp),
    (Protocol::Radius, radius::radius),
    (Protocol::Coap, coap::coap),
    (Protocol::Utp, bittorrent::utp),
    (Protocol::Rtcp, rtp::rtcp),
    (Protocol::Rtp, rtp::rtp),
    (Protocol::Esp, ipsec::esp),
];
