//! Payloads that did not come up from the kernel, by reason.

/// Datagrams that were wanted and not read. They are counted as all packets are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnreadPayloads {
    /// DNS messages over the budget of their CPU.
    pub dns_over_budget: u64,
    /// Other datagrams over it.
    pub over_budget: u64,
    /// DNS messages of more than 4096 bytes, of which the first are there.
    pub too_long: u64,
    /// Came faster than they were taken.
    pub ring_full: u64,
    /// DNS messages behind the 64th in what the kernel had merged.
    pub merged: u64,
    /// Came in fragments.
    pub fragments: u64,
    /// DNS messages of a capture that has too little of them: what they ask for is not there.
    pub cut: u64,
    /// Of a length that cannot be, or where the kernel does not let a program read.
    pub out_of_reach: u64,
}

impl UnreadPayloads {
    /// Each reason by its name in records.
    #[must_use]
    pub fn reasons(self) -> [(&'static str, u64); 8] {
        [
            ("dns_over_budget", self.dns_over_budget),
            ("over_budget", self.over_budget),
            ("too_long", self.too_long),
            ("ring_full", self.ring_full),
            ("merged", self.merged),
            ("fragments", self.fragments),
            ("cut", self.cut),
            ("out_of_reach", self.out_of_reach),
        ]
    }
}
