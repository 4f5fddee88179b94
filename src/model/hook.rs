//! Which hooks somebody wants.

/// Where to see received packets.
///
/// First paragraphs are the help of `--hook`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
pub enum HookChoice {
    /// Native XDP if the driver has it and nothing else gets slower, else TC.
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
    /// Native; with --hook xdp, generic where the driver has none.
    #[default]
    Auto,
    /// In the driver.
    ///
    /// It sees each frame as it came.
    Native,
    /// After the driver; merged packets count as one.
    ///
    /// It does not see all that others see.
    Generic,
}
