//! How well a datagram fits a protocol.

/// What one datagram says of one protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It is not that.
    No,
    /// Nothing speaks against it, and not enough for it: what the port makes likely stays likely.
    Perhaps,
    /// It is that where a port says so, too.
    Fits,
    /// It is that on any port.
    Sure,
    /// It is that if others of its direction bear the same key, and numbers that go on.
    Counts {
        /// Who counts.
        key: u32,
        /// Where it is, or the low bits of that.
        number: u16,
    },
    /// As [`Fit::Fits`]; and on any port, once the other end answers with the same key.
    Asks(u32),
    /// As [`Fit::Fits`]; and on any port, if the other end has asked with the same key.
    Answers(u32),
}

impl Fit {
    /// [`Fit::Sure`], or not.
    pub(super) fn sure_if(is_so: bool) -> Self {
        if is_so { Self::Sure } else { Self::No }
    }

    /// [`Fit::Fits`], or not.
    pub(super) fn fits_if(is_so: bool) -> Self {
        if is_so { Self::Fits } else { Self::No }
    }
}
