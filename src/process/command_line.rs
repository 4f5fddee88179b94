//! How a process was started: read when somebody looks at it, as it may be long.

use std::fs;

use crate::connection::Owner;

/// So many bytes of it are read at most.
const MOST: usize = 4096;

/// The command line of a process, while it is there and is still the one that was meant. Hostile input for a terminal.
#[must_use]
pub fn command_line(owner: &Owner) -> Option<String> {
    let folder = format!("/proc/{}", owner.pid);
    let mut line = fs::read(format!("{folder}/cmdline")).ok()?;
    line.truncate(MOST);
    while line.last() == Some(&0) {
        line.pop();
    }
    let words: Vec<_> = line
        .split(|byte| *byte == 0)
        .map(String::from_utf8_lossy)
        .collect();
    let line = words.join(" ");
    // Its number may belong to another one by now.
    let name = fs::read_to_string(format!("{folder}/comm")).ok()?;
    let is_meant = name.trim_end() == owner.command || line.contains(&owner.command);
    (is_meant && !line.is_empty()).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(pid: u32, command: &str) -> Owner {
        Owner {
            pid,
            command: command.to_owned(),
            uid: 0,
            user: String::new(),
            cgroup: String::new(),
            container: None,
        }
    }

    #[test]
    fn it_is_that_of_the_process_that_is_meant() {
        let own = std::process::id();
        let name = fs::read_to_string(format!("/proc/{own}/comm")).unwrap();
        let line = command_line(&owner(own, name.trim_end())).unwrap();
        let words: Vec<String> = std::env::args().collect();
        assert_eq!(line, words.join(" "));
        // A script is known by another name than its interpreter.
        let program = words[0].rsplit('/').next().unwrap();
        assert_eq!(command_line(&owner(own, program)), Some(line));
        assert_eq!(command_line(&owner(own, "what nobody is called")), None);
        assert_eq!(command_line(&owner(0, "what nobody is called")), None);
    }
}
