//! A datagram as the kernel hands it over: its first bytes, and what is known of the rest.

/// One of the first datagrams of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Who sent it: the connection's originator, or its responder.
    pub from_originator: bool,
    /// Its source port, host order.
    pub source_port: u16,
    /// Its destination port, host order.
    pub destination_port: u16,
    /// Which one it is of its direction, from 0.
    pub ordinal: u32,
    /// Bytes of the whole payload.
    pub length: u16,
    /// The first of them: all, or fewer.
    pub bytes: &'a [u8],
    /// When it was seen, in nanoseconds of `CLOCK_MONOTONIC`.
    pub ns: u64,
}
