//! Datagrams as the kernel programs copied them (`payload.h`): bytes, not read here.

use anyhow::{Context as _, Result};
use libbpf_rs::{MapCore as _, MapFlags, MapHandle};

use crate::bpf::read::ring::Ring;
use crate::bpf::sys::types;
use crate::bpf::tracker::Tracker;
use crate::model::{ConnectionId, Direction, Ifindex, Place, UnreadPayloads};

const HEADER_BYTES: usize = size_of::<types::udp_track_payload>();
const _: () = assert!(HEADER_BYTES == 40);
const _: () = assert!(size_of::<types::udp_track_payload_budget>() == 72);

/// Bytes of a DNS message up to which it is taken as a whole, and those of a longer one.
const LONG_BYTES: usize = types::udp_track_sizes::UDP_TRACK_LONG_PAYLOAD_BYTES.0 as usize;
const BYTES: usize = types::udp_track_sizes::UDP_TRACK_PAYLOAD_BYTES.0 as usize;

/// Datagrams taken from the ring at once, so that a flood cannot keep the loop from its other work.
const PAYLOADS_AT_ONCE: usize = 4096;

/// Whose payload is copied to user space.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Payloads {
    /// Nobody's.
    #[default]
    Off,
    /// Messages from or to ports 53 (DNS), 5353 (mDNS) and 5355 (LLMNR).
    Dns,
    /// Those, and the first four datagrams of each connection, each way.
    All,
}

impl Payloads {
    /// As the programs have it (`enum udp_track_payloads`).
    pub(in crate::bpf) fn raw(self) -> u32 {
        use types::udp_track_payloads as raw;
        match self {
            Self::Off => raw::UDP_TRACK_NO_PAYLOADS.0,
            Self::Dns => raw::UDP_TRACK_DNS_PAYLOADS.0,
            Self::All => raw::UDP_TRACK_ALL_PAYLOADS.0,
        }
    }

    pub(in crate::bpf) fn of(raw: u32) -> Self {
        let all = [Self::Off, Self::Dns];
        all.into_iter()
            .find(|one| one.raw() == raw)
            .unwrap_or(Self::All)
    }
}

/// A datagram that passed and was counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    /// Which connection it is of.
    pub connection: ConnectionId,
    /// Where that lay in the table then.
    pub place: Place,
    /// The interface that it passed.
    pub interface: Ifindex,
    /// In which direction it passed there.
    pub direction: Direction,
    /// Whether who sent it sent the connection's first packet, too.
    pub from_originator: bool,
    /// Which of the packets of its sender it is, from 1 on; where two CPUs count for one sender at once, two may have the same.
    pub ordinal: u32,
    /// The port that it came from.
    pub source_port: u16,
    /// The port that it went to.
    pub destination_port: u16,
    /// When it passed, in nanoseconds of `CLOCK_MONOTONIC`.
    pub ns: u64,
    /// Bytes of its payload.
    pub length: usize,
    /// The first of them: up to 1,400; of DNS all that have up to 4,096. Hostile input.
    pub bytes: Box<[u8]>,
}

impl Payload {
    /// Whether more was sent than is here.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.bytes.len() < self.length
    }

    /// Whether a DNS message is less than the programs take of one: then the capture that it is of has cut it.
    #[must_use]
    pub fn is_cut_by_capture(&self) -> bool {
        let taken = match self.length {
            length if length > LONG_BYTES => BYTES,
            length => length,
        };
        self.bytes.len() < taken
    }

    /// The payload in a record (`udp_track_payload`, in host order), of as many bytes as it says, if it has them.
    fn read(record: &[u8]) -> Option<Self> {
        let mut raw = types::udp_track_payload::default();
        let (header, payload) = record.split_at_checked(HEADER_BYTES)?;
        plain::copy_from_bytes(&mut raw, header).ok()?;
        let is_egress = u32::from(raw.direction) == types::udp_track_direction::UDP_TRACK_EGRESS.0;
        Some(Self {
            connection: ConnectionId(raw.connection),
            place: Place(raw.place),
            interface: Ifindex(raw.ifindex),
            direction: if is_egress {
                Direction::Egress
            } else {
                Direction::Ingress
            },
            from_originator: raw.from_originator != 0,
            ordinal: raw.ordinal,
            source_port: raw.source_port,
            destination_port: raw.destination_port,
            ns: raw.ns,
            length: raw.length.into(),
            bytes: payload.get(..raw.bytes.into())?.into(),
        })
    }
}

/// Adds what one CPU has not read.
fn add_unread(sum: &mut UnreadPayloads, raw: &types::udp_track_payload_budget) {
    use types::udp_track_unread as reasons;
    let unread = |reason: reasons| raw.unread[reason.0 as usize];
    sum.dns_over_budget += unread(reasons::UDP_TRACK_UNREAD_DNS_OVER_BUDGET);
    sum.over_budget += unread(reasons::UDP_TRACK_UNREAD_OVER_BUDGET);
    sum.too_long += unread(reasons::UDP_TRACK_UNREAD_TOO_LONG);
    sum.ring_full += unread(reasons::UDP_TRACK_UNREAD_RING_FULL);
    sum.merged += unread(reasons::UDP_TRACK_UNREAD_MERGED);
    sum.fragments += unread(reasons::UDP_TRACK_UNREAD_FRAGMENTS);
    sum.out_of_reach += unread(reasons::UDP_TRACK_UNREAD_OUT_OF_REACH);
}

/// The ring that datagrams come through, where they are wanted.
pub(in crate::bpf) fn payload_ring(
    payloads: &MapHandle,
    whose: Payloads,
) -> Result<Option<Ring<Payload>>> {
    (whose != Payloads::Off)
        .then(|| Ring::map(payloads, "payloads", PAYLOADS_AT_ONCE, Payload::read))
        .transpose()
}

impl Tracker {
    /// Whose payload is copied: what the settings asked for, or nobody's, as a kernel before 5.18 that is locked down refuses it.
    #[must_use]
    pub fn payloads(&self) -> Payloads {
        Payloads::of(self.instance.payloads)
    }

    /// Takes the datagrams that have come since the last call, oldest first; at most some thousands.
    pub fn take_payloads(&mut self) -> Result<Vec<Payload>> {
        self.payload_ring
            .as_mut()
            .map_or_else(|| Ok(Vec::new()), Ring::take)
    }

    /// Datagrams that were wanted and not read, over all CPUs.
    pub fn unread_payloads(&self) -> Result<UnreadPayloads> {
        let mut sum = UnreadPayloads::default();
        for direction in [Direction::Ingress, Direction::Egress] {
            let budgets = &self.handles.channels.payload_budgets;
            let parts = budgets
                .lookup_percpu(&(direction as u32).to_ne_bytes(), MapFlags::ANY)
                .context("cannot read payload_budgets")?
                .unwrap_or_default();
            for part in parts {
                let mut budget = types::udp_track_payload_budget::default();
                plain::copy_from_bytes(&mut budget, &part)
                    .map_err(|_| anyhow::anyhow!("a budget of {} bytes", part.len()))?;
                add_unread(&mut sum, &budget);
            }
        }
        Ok(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::sys;

    #[test]
    fn a_record_that_lies_about_its_length_is_none() {
        let record = |bytes: u16| {
            let header = types::udp_track_payload {
                connection: 7,
                place: 9,
                ifindex: 5,
                ordinal: 2,
                length: 2000,
                bytes,
                source_port: 53,
                destination_port: 4000,
                direction: 1,
                from_originator: 1,
                ns: 11,
                ..Default::default()
            };
            [sys::bytes_of(&header), b"dns"].concat()
        };
        let bytes = |record: &[u8]| Payload::read(record).map(|payload| payload.bytes.into_vec());
        let whole = Payload {
            connection: ConnectionId(7),
            place: Place(9),
            interface: Ifindex(5),
            direction: Direction::Egress,
            from_originator: true,
            ordinal: 2,
            source_port: 53,
            destination_port: 4000,
            ns: 11,
            length: 2000,
            bytes: b"dns".as_slice().into(),
        };
        assert!(whole.is_cut());
        assert_eq!(Payload::read(&record(3)), Some(whole));
        assert_eq!(bytes(&record(1)), Some(b"d".to_vec()));
        assert_eq!(bytes(&record(0)), Some(Vec::new()));
        assert_eq!(bytes(&record(4)), None);
        assert_eq!(bytes(&record(u16::MAX)), None);
        assert_eq!(bytes(&record(0)[..HEADER_BYTES - 1]), None);
    }

    #[test]
    fn whose_payload_there_and_back() {
        for payloads in [Payloads::Off, Payloads::Dns, Payloads::All] {
            assert_eq!(Payloads::of(payloads.raw()), payloads);
        }
    }
}
