//! Flags whose values are words.

use clap::ValueEnum;

/// `--output`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputKind {
    /// Tables that fill the terminal, with keys
    Live,
    /// A line for each event
    Trace,
    /// A table of all connections, every --delay
    Table,
    /// JSON lines in the format of Suricata's EVE
    Json,
    /// The same records as rows, with a header line
    Csv,
    /// The lines of conntrack -L (only with list)
    Conntrack,
}

/// `--theme`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Theme {
    /// Colours for a white background
    Light,
    /// Colours for a dark background
    Dark,
    /// No colours: bold, underlined and reversed text
    Plain,
}

/// `--color`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// With colours, unless `NO_COLOR` is set
    Auto,
    /// With colours
    Always,
    /// Without colours
    Never,
}

/// `--events`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// The first packet of a connection
    New,
    /// Each later packet (in JSON and CSV: packets and bytes of each connection since the last record)
    Data,
    /// The end of a connection
    End,
    /// DNS queries and answers, with the names in them (only in JSON)
    Dns,
    /// The begin of each QUIC connection, with the server's name (only in JSON)
    Quic,
}

/// What `completions` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// bash
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
}
