//! Frames as the kernel programs copied them (`frames.h`): bytes, not read here.

use anyhow::Result;

use crate::bpf::read::ring::Ring;
use crate::bpf::sys::types;
use crate::bpf::tracker::Tracker;
use crate::model::{ConnectionId, Direction, Ifindex, Place};

const HEADER_BYTES: usize = size_of::<types::udp_track_frame>();
const _: () = assert!(HEADER_BYTES == 48);

/// Frames taken from the ring at once, so that a flood cannot keep who takes them from other work.
const FRAMES_AT_ONCE: usize = 4096;
/// Bytes of a frame that are copied at most: all that UDP fills.
pub(in crate::bpf) const FRAME_BYTES_MAX: u32 = types::udp_track_sizes::UDP_TRACK_FRAME_BYTES.0;

/// A frame that passed and was counted, or an ICMP error about a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Which connection it is of.
    pub connection: ConnectionId,
    /// Where that lay in the table then.
    pub place: Place,
    /// The interface that it passed.
    pub interface: Ifindex,
    /// In which direction it passed there; `None`: that is not known.
    pub direction: Option<Direction>,
    /// When it passed, in nanoseconds of `CLOCK_MONOTONIC`.
    pub ns: u64,
    /// Bytes of the whole frame, without a tag that the kernel has taken out.
    pub length: u32,
    /// How many packets it is on the wire: more than one where the kernel has merged them, or will split it.
    pub packets: u32,
    /// Bytes of payload in each of those, but for the last one.
    pub segment: u16,
    /// The VLAN tag that the kernel has taken out of it: TPID and TCI.
    pub vlan: Option<(u16, u16)>,
    /// The first bytes. Hostile input.
    pub bytes: Box<[u8]>,
}

impl Frame {
    /// The frame in a record (`udp_track_frame`, in host order but for the TPID), of as many bytes as it says, if it has them.
    fn read(record: &[u8]) -> Option<Self> {
        let mut raw = types::udp_track_frame::default();
        let (header, bytes) = record.split_at_checked(HEADER_BYTES)?;
        plain::copy_from_bytes(&mut raw, header).ok()?;
        let is_egress = u32::from(raw.direction) == types::udp_track_direction::UDP_TRACK_EGRESS.0;
        Some(Self {
            connection: ConnectionId(raw.connection),
            place: Place(raw.place),
            interface: Ifindex(raw.ifindex),
            direction: Some(if is_egress {
                Direction::Egress
            } else {
                Direction::Ingress
            }),
            ns: raw.ns,
            length: raw.length,
            packets: raw.packets,
            segment: raw.segment_bytes,
            vlan: (raw.vlan_protocol != 0).then(|| (u16::from_be(raw.vlan_protocol), raw.vlan_tci)),
            bytes: bytes.get(..usize::try_from(raw.bytes).ok()?)?.into(),
        })
    }
}

/// The ring that frames come through. It may be taken to another thread: nothing else reads it.
pub struct FrameRing(Ring<Frame>);

impl FrameRing {
    /// Takes the frames that have come since the last call, oldest first; at most some thousands.
    pub fn take(&mut self) -> Result<Vec<Frame>> {
        self.0.take()
    }
}

impl Tracker {
    /// How many bytes of each frame are copied: 0 where the settings asked for none, or this kernel refuses it.
    #[must_use]
    pub fn frame_bytes(&self) -> u32 {
        self.instance.frame_bytes
    }

    /// What takes the frames. To be called once: a frame comes through one ring alone.
    pub fn frame_ring(&self) -> Result<FrameRing> {
        let frames = &self.handles.channels.frames;
        Ring::map(frames, "frames", FRAMES_AT_ONCE, Frame::read).map(FrameRing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::sys;

    #[test]
    fn a_record_that_lies_about_its_length_is_none() {
        let record = |bytes: u32| {
            let header = types::udp_track_frame {
                connection: 7,
                ns: 11,
                place: 9,
                ifindex: 5,
                length: 2000,
                bytes,
                packets: 2,
                segment_bytes: 900,
                vlan_tci: 0x6005,
                vlan_protocol: 0x88a8_u16.to_be(),
                direction: 1,
                ..Default::default()
            };
            [sys::bytes_of(&header), b"eth"].concat()
        };
        let bytes = |record: &[u8]| Frame::read(record).map(|frame| frame.bytes.into_vec());
        let whole = Frame {
            connection: ConnectionId(7),
            place: Place(9),
            interface: Ifindex(5),
            direction: Some(Direction::Egress),
            ns: 11,
            length: 2000,
            packets: 2,
            segment: 900,
            vlan: Some((0x88a8, 0x6005)),
            bytes: b"eth".as_slice().into(),
        };
        assert_eq!(Frame::read(&record(3)), Some(whole));
        assert_eq!(bytes(&record(1)), Some(b"e".to_vec()));
        assert_eq!(bytes(&record(4)), None);
        assert_eq!(bytes(&record(u32::MAX)), None);
        assert_eq!(bytes(&record(0)[..HEADER_BYTES - 1]), None);
    }
}
