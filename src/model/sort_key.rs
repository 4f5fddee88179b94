//! What rows are sorted by.

/// What rows are sorted by. Numbers go from the largest down, words up; a row that has no value comes last, either way.
///
/// First paragraphs are the help of `--sort`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum SortKey {
    /// Both directions.
    #[default]
    Rate,
    /// From the originator; what a group receives.
    #[cfg_attr(feature = "cli", value(alias = "in"))]
    OrigRate,
    /// From the responder; what a group sends.
    #[cfg_attr(feature = "cli", value(alias = "out"))]
    ReplyRate,
    /// Both directions.
    Bytes,
    /// Both directions.
    Packets,
    /// From the first packet to the first reply.
    FirstReply,
    /// Median of the response times.
    Response,
    /// What 95 % of the response times did not exceed.
    P95,
    /// Median of the round trips of QUIC, as its spin bit shows them; of a group that of its connections.
    #[cfg_attr(feature = "cli", value(alias = "round-trip"))]
    Rtt,
    /// Requests.
    Asked,
    /// Share of the requests that were lost.
    ///
    /// Then their number.
    Lost,
    /// Packets that this machine dropped.
    #[cfg_attr(feature = "cli", value(name = "lost-here", alias = "dropped"))]
    Dropped,
    /// DNS queries.
    Queries,
    /// Share of the DNS answers that say an error.
    ///
    /// Then their number.
    Failed,
    /// Dead, refused, drops, lossy, slow, ok, one-way.
    ///
    /// Worst first, then as by [`SortKey::Lost`].
    #[cfg_attr(feature = "cli", value(alias = "unanswered"))]
    State,
    /// Oldest request that still waits.
    Wait,
    /// Since the first packet.
    Age,
    /// Since the latest packet.
    Idle,
    /// How far it has come.
    ///
    /// UNREPLIED first.
    Status,
    /// Who sent first.
    ///
    /// Address and port, IPv4 first.
    Originator,
    /// The other end.
    ///
    /// The same, or the label of a group.
    Responder,
    /// What is spoken.
    #[cfg_attr(feature = "cli", value(alias = "protocol"))]
    Proto,
    /// Name of the process.
    Process,
    /// How many a group has.
    Connections,
    /// Addresses of the originators of a group.
    Clients,
}

impl SortKey {
    /// Whether it goes from the largest down.
    #[must_use]
    pub fn is_descending(self) -> bool {
        !matches!(
            self,
            Self::Status
                | Self::State
                | Self::Originator
                | Self::Responder
                | Self::Proto
                | Self::Process
        )
    }
}
