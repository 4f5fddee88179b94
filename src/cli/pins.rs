//! Flags for pins: the name of a run, and what stays when it ends.

use clap::Args;

/// How a run is pinned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pins {
    /// Under which name; none means that of the interfaces.
    pub name: Option<String>,
    /// Whether tracking goes on in the kernel when the program ends.
    pub keep: bool,
    /// Who may read: permission bits of a file.
    pub mode: u32,
}

/// The flags themselves.
#[derive(Debug, Args)]
#[command(next_help_heading = "Share")]
pub(super) struct PinFlags {
    /// Name of the run, also for list and detach
    ///
    /// The default is the names of its interfaces.
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub name: Option<String>,

    /// Let the kernel continue to track when udptrack ends; the same command resumes it without a gap
    #[arg(long)]
    pub keep: bool,

    /// Permission bits of the pinned tables: with 0644, everybody can use `udptrack list`
    #[arg(long, value_name = "MODE", default_value = "0600", value_parser = mode)]
    pub pin_mode: u32,
}

impl PinFlags {
    pub(super) fn pins(self) -> Pins {
        Pins {
            name: self.name,
            keep: self.keep,
            mode: self.pin_mode,
        }
    }
}

/// What a bpffs takes as a file name.
fn name(text: &str) -> Result<String, String> {
    const LONGEST: usize = 64;
    let fits = |c: char| c.is_ascii_alphanumeric() || "_-:@+".contains(c);
    if text.is_empty() || text.len() > LONGEST || !text.chars().all(fits) {
        return Err(format!(
            "write 1 to {LONGEST} letters, digits or signs of _-:@+ (the bpffs does not allow dots)"
        ));
    }
    Ok(text.to_owned())
}

fn mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8)
        .map_err(|_| "write it in octal digits, such as 0640".to_owned())?;
    if mode & !0o644 != 0 || mode & 0o600 != 0o600 {
        return Err("write 0600, 0640 or 0644: others may only read".to_owned());
    }
    Ok(mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_let_nobody_write() {
        assert_eq!(mode("0640"), Ok(0o640));
        assert_eq!(mode("644"), Ok(0o644));
        for wrong in ["0666", "0444", "8", "rw", "07644", ""] {
            assert!(mode(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_are_file_names() {
        assert!(name("eth0-2").is_ok());
        for wrong in ["", "a.b", "../a", "a/b", "ü", &"a".repeat(65)] {
            assert!(name(wrong).is_err(), "{wrong}");
        }
    }
}
