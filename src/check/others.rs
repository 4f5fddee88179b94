//! What other programs on this machine do that a run would not see, or would conflict with.

use std::fs;
use std::path::Path;

use super::Machine;
use crate::bpf::probe;
use crate::model::text::Visible;
use crate::netfilter;

/// Units that systemd starts by itself are linked in folders of this kind.
const UNITS: &str = "/etc/systemd/system";
/// Longer files are no units.
const UNIT_BYTES: u64 = 1 << 16;

impl Machine {
    /// Who may need the place for XDP later, where a run takes it.
    pub(super) fn look_at_xdp_users(&mut self) {
        let programs = probe::xdp_programs()
            .into_iter()
            .filter(|name| name != "udp_track_xdp")
            .map(|name| format!("the loaded program {}", Visible(&name)));
        let units = units_with_xdp(Path::new(UNITS))
            .into_iter()
            .map(|name| format!("the unit {}", Visible(&name)));
        let users: Vec<String> = programs.chain(units).collect();
        if !users.is_empty() {
            let text = format!(
                "a run takes the place for XDP. These use XDP, too, and fail with EBUSY if they need this place later: {}",
                users.join(", ")
            );
            self.findings
                .note("XDP", text, "--hook tc leaves the place free");
        }
    }

    /// Senders that are past all hooks, as far as the kernel tells of them.
    pub(super) fn look_at_senders(&mut self) {
        let protocols = fs::read_to_string("/proc/self/net/protocols").unwrap_or_default();
        let sockets = sockets_of("XDP", &protocols);
        if sockets > 0 {
            let text = format!(
                "{sockets} AF_XDP sockets are open: udptrack does not see what they send or take from the card"
            );
            self.findings.note("AF_XDP", text, "");
        }
    }

    /// Whether a connection has other addresses on another of the interfaces.
    pub(super) fn look_at_translation(&mut self, interfaces: usize) {
        if interfaces > 1 && netfilter::translates() {
            self.findings.note(
                "NAT",
                "this network namespace translates addresses: a translated connection counts twice, before and after",
                "Name the interface of one side with -i",
            );
        }
    }
}

/// Sockets of a protocol in a text such as `/proc/net/protocols`: name, size, sockets.
fn sockets_of(protocol: &str, text: &str) -> u64 {
    text.lines()
        .find_map(|line| {
            let mut words = line.split_whitespace();
            (words.next()? == protocol).then(|| words.nth(1)?.parse().ok())?
        })
        .unwrap_or(0)
}

/// Units that are started and whose commands speak of XDP.
fn units_with_xdp(folder: &Path) -> Vec<String> {
    let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries(folder)
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(".wants"))
        .flat_map(|wants| entries(&wants.path()))
        .filter(|unit| speaks_of_xdp(&unit.path()))
        .map(|unit| unit.file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with("udptrack"))
        .collect();
    names.sort();
    names.dedup();
    names
}

fn speaks_of_xdp(unit: &Path) -> bool {
    let is_short = fs::metadata(unit).is_ok_and(|file| file.is_file() && file.len() <= UNIT_BYTES);
    let text = if is_short {
        fs::read_to_string(unit).unwrap_or_default()
    } else {
        String::new()
    };
    text.lines()
        .any(|line| line.starts_with("Exec") && line.to_ascii_lowercase().contains("xdp"))
}

#[cfg(test)]
mod tests {
    use std::env;

    use super::*;

    #[test]
    fn sockets_are_in_the_third_column() {
        let text = "protocol  size sockets  memory press\nPACKET    1600      3      -1   NI\nXDP       960       2      -1   NI\n";
        assert_eq!(sockets_of("XDP", text), 2);
        assert_eq!(sockets_of("UDP", text), 0);
        assert_eq!(sockets_of("XDP", ""), 0);
    }

    #[test]
    fn units_that_are_started_and_speak_of_xdp() {
        let folder = env::temp_dir().join(format!("udpt-units-{}", std::process::id()));
        let wants = folder.join("multi-user.target.wants");
        fs::create_dir_all(&wants).unwrap();
        for (name, text) in [
            (
                "wall.service",
                "[Service]\nExecStart=/usr/sbin/xdp-filter load eth0\n",
            ),
            ("plain.service", "# xdp\n[Service]\nExecStart=/bin/true\n"),
            (
                "udptrack.service",
                "ExecStart=/usr/bin/udptrack --hook xdp\n",
            ),
        ] {
            fs::write(wants.join(name), text).unwrap();
        }
        // Not started by itself.
        fs::write(folder.join("off.service"), "ExecStart=xdp-loader\n").unwrap();
        let found = units_with_xdp(&folder);
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(found, ["wall.service"]);
        assert_eq!(units_with_xdp(&folder), Vec::<String>::new());
    }
}
