//! DNS queries and answers that passed, as the kernel programs copied them (`names.h`): bytes, not read here.

use std::cell::RefCell;
use std::rc::Rc;

use anyhow::{Context as _, Result};
use libbpf_rs::{MapCore as _, MapFlags, MapHandle, RingBuffer, RingBufferBuilder};

use crate::bpf::sys::types;
use crate::bpf::tracker::Tracker;
use crate::model::{ConnectionId, Direction, Ifindex};

const _: () = assert!(size_of::<types::udp_track_dns>() == 528);
const _: () = assert!(size_of::<types::udp_track_long_dns>() == 4112);
const _: () = assert!(size_of::<types::udp_track_dns_budget>() == 32);

/// Messages taken from the ring at once, so that a flood cannot keep the loop from its other work.
const MESSAGES_AT_ONCE: usize = 4096;

/// A DNS message that passed: a query, or the answer to one that passed before in the same connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsMessage {
    /// Which connection it is of.
    pub connection: ConnectionId,
    /// The interface that it passed.
    pub interface: Ifindex,
    /// In which direction it passed there.
    pub direction: Direction,
    /// As it was in its datagram: hostile input.
    pub bytes: Box<[u8]>,
}

/// DNS messages that were not read. They are in the books as all packets are; only names may be missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnreadDns {
    /// Over the budget of their CPU.
    pub over_budget: u64,
    /// Of more than 4096 bytes.
    pub too_long: u64,
    /// Came faster than they were taken.
    pub lost: u64,
}

/// The ring that messages come through.
pub(in crate::bpf) struct Dns {
    ring: RingBuffer<'static>,
    queue: Rc<RefCell<Vec<DnsMessage>>>,
}

impl Dns {
    pub fn new(messages: &MapHandle) -> Result<Self> {
        let queue = Rc::new(RefCell::new(Vec::new()));
        let sink = Rc::clone(&queue);
        let mut builder = RingBufferBuilder::new();
        builder
            .add(messages, move |record| {
                sink.borrow_mut().extend(message(record));
                0
            })
            .context("cannot map the ring buffer of DNS messages")?;
        let ring = builder
            .build()
            .context("cannot map the ring buffer of DNS messages")?;
        Ok(Self { ring, queue })
    }
}

/// The message in a record (`udp_track_dns`, in host order): as many bytes as the record says, if it has them.
fn message(record: &[u8]) -> Option<DnsMessage> {
    let (connection, rest) = record.split_first_chunk()?;
    let (interface, rest) = rest.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let ([direction, _], message) = rest.split_first_chunk()?;
    let is_egress = u32::from(*direction) == types::udp_track_direction::UDP_TRACK_EGRESS.0;
    Some(DnsMessage {
        connection: ConnectionId(u64::from_ne_bytes(*connection)),
        interface: Ifindex(u32::from_ne_bytes(*interface)),
        direction: if is_egress {
            Direction::Egress
        } else {
            Direction::Ingress
        },
        bytes: message.get(..u16::from_ne_bytes(*length).into())?.into(),
    })
}

impl Tracker {
    /// Whether DNS messages are copied, as the settings asked for: a kernel before 5.18 that is locked down refuses it.
    #[must_use]
    pub fn has_names(&self) -> bool {
        self.dns.is_some()
    }

    /// Takes the DNS messages that have come since the last call, oldest first.
    pub fn take_dns(&mut self) -> Result<Vec<DnsMessage>> {
        let Some(dns) = &self.dns else {
            return Ok(Vec::new());
        };
        let result = dns.ring.consume_raw_n(MESSAGES_AT_ONCE);
        if result < 0 {
            return Err(std::io::Error::from_raw_os_error(-result))
                .context("cannot read the ring buffer of DNS messages");
        }
        Ok(dns.queue.take())
    }

    /// DNS messages that were not read, over all CPUs.
    pub fn unread_dns(&self) -> Result<UnreadDns> {
        let budgets = &self.handles.channels.dns_budgets;
        let parts = budgets
            .lookup_percpu(&0_u32.to_ne_bytes(), MapFlags::ANY)
            .context("cannot read dns_budgets")?
            .unwrap_or_default();
        let mut sum = UnreadDns::default();
        for part in parts {
            let mut budget = types::udp_track_dns_budget::default();
            plain::copy_from_bytes(&mut budget, &part)
                .map_err(|_| anyhow::anyhow!("a DNS budget of {} bytes", part.len()))?;
            sum.over_budget += budget.unread;
            sum.too_long += budget.too_long;
            sum.lost += budget.lost;
        }
        Ok(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_lies_about_its_length_is_none() {
        let record = |length: u16| {
            let (connection, interface) = (7_u64.to_ne_bytes(), 5_u32.to_ne_bytes());
            [
                &connection[..],
                &interface,
                &length.to_ne_bytes(),
                &[1, 0],
                b"dns",
            ]
            .concat()
        };
        let bytes = |record: &[u8]| message(record).map(|message| message.bytes.into_vec());
        let whole = DnsMessage {
            connection: ConnectionId(7),
            interface: Ifindex(5),
            direction: Direction::Egress,
            bytes: b"dns".as_slice().into(),
        };
        assert_eq!(message(&record(3)), Some(whole));
        assert_eq!(bytes(&record(1)), Some(b"d".to_vec()));
        assert_eq!(bytes(&record(4)), None);
        assert_eq!(bytes(&record(u16::MAX)), None);
        assert_eq!(bytes(&record(0)[..15]), None);
    }
}
