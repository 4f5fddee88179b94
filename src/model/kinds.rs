//! Kinds of events.

/// Which kinds of events the user asked for (`-e`).
#[expect(
    clippy::struct_excessive_bools,
    reason = "each may be asked for or not, whatever the others are"
)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds {
    /// The first packet of a connection.
    pub new: bool,
    /// Later packets; in records, what a connection did since the last snapshot.
    pub data: bool,
    /// The end of a connection.
    pub end: bool,
    /// What a QUIC connection said, once it has said enough.
    pub quic: bool,
    /// DNS messages, with the names in them.
    pub dns: bool,
}
