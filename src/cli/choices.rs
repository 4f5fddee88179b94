//! Flags whose values are words.

use clap::ValueEnum;

/// `--output`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputKind {
    /// Tables on the whole terminal, with keys
    Live,
    /// A line for each event
    Trace,
    /// All connections, every --delay
    Table,
    /// JSON lines like Suricata's EVE
    Json,
    /// The same records, flat, header first
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
    /// Unless the environment has `NO_COLOR`
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// `--events`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// The first packet of a connection
    New,
    /// Each later packet (in JSON and CSV: what each connection did since the last --delay)
    Data,
    /// The end of a connection
    End,
    /// DNS queries and answers, with the names in them (only in JSON)
    Dns,
    /// What QUIC connections said at their begin, with the names of servers (only in JSON)
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
