//! Which hooks somebody wants.

/// Where to see received packets.
///
/// First paragraphs are the help of `--hook`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum HookChoice {
    /// Native XDP if the driver has it and nothing else gets slower, otherwise TC.
    #[default]
    Auto,
    /// XDP only.
    Xdp,
    /// TC only.
    Tc,
}

/// Which XDP.
///
/// First paragraphs are the help of `--xdp-mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum XdpMode {
    /// Native; with --hook xdp, generic if the driver has no native XDP.
    #[default]
    Auto,
    /// In the driver.
    ///
    /// It sees each frame as it came.
    Native,
    /// After the driver; a merged packet counts as one.
    ///
    /// It does not see all that others see.
    Generic,
}
