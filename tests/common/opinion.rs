//! An opinion that is not ours: what etherparse makes of a frame.

use std::net::SocketAddr;

use etherparse::{NetSlice, SlicedPacket, TransportSlice};

use super::reference::Vlans;

/// VLAN identifiers, sender and receiver of a frame with UDP in it, unfragmented.
#[must_use]
pub fn of(frame: &[u8]) -> Option<(Vlans, SocketAddr, SocketAddr)> {
    let packet = SlicedPacket::from_ethernet(frame).ok()?;
    let Some(TransportSlice::Udp(udp)) = &packet.transport else {
        return None;
    };
    let mut vlans = [0, 0];
    for (vlan, id) in vlans.iter_mut().zip(packet.vlan_ids()) {
        *vlan = id.value();
    }
    let (source, destination) = match packet.net.as_ref()? {
        NetSlice::Ipv4(ip) => (
            ip.header().source_addr().into(),
            ip.header().destination_addr().into(),
        ),
        NetSlice::Ipv6(ip) => (
            ip.header().source_addr().into(),
            ip.header().destination_addr().into(),
        ),
        NetSlice::Arp(_) => return None,
    };
    Some((
        vlans,
        SocketAddr::new(source, udp.source_port()),
        SocketAddr::new(destination, udp.destination_port()),
    ))
}
