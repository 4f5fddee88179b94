//! How a process was started: the whole of it when somebody looks at it, as it may be long; of interpreters the script.

use std::borrow::Cow;
use std::fs;
use std::path::Path;

use crate::model::Owner;

/// How many bytes of it are read at most.
const MOST: usize = 4096;

/// The command line of a process, while it is there and is still the one that was meant. Hostile input for a terminal.
#[must_use]
pub fn command_line(owner: &Owner) -> Option<String> {
    let bytes = read(owner.pid)?;
    let line = words(&bytes).join(" ");
    // Its number may belong to another one by now.
    let name = fs::read_to_string(format!("/proc/{}/comm", owner.pid)).ok()?;
    let is_meant = name.trim_end() == owner.command || line.contains(&owner.command);
    (is_meant && !line.is_empty()).then_some(line)
}

fn read(pid: u32) -> Option<Vec<u8>> {
    let mut line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    line.truncate(MOST);
    while line.last() == Some(&0) {
        line.pop();
    }
    Some(line)
}

fn words(line: &[u8]) -> Vec<Cow<'_, str>> {
    line.split(|byte| *byte == 0)
        .map(String::from_utf8_lossy)
        .collect()
}

/// Interpreters, by how their names begin: a version may follow.
const INTERPRETERS: [&str; 14] = [
    "python", "perl", "ruby", "node", "bash", "sh", "dash", "zsh", "ksh", "java", "php", "lua",
    "tclsh", "Rscript",
];

/// `backup.py`: what an interpreter runs, while it is there. `None` of any other program, and where it runs no file. Hostile input for a
/// terminal.
pub(super) fn script(pid: u32, command: &str) -> Option<String> {
    if !is_interpreter(command) {
        return None;
    }
    script_of(&words(&read(pid)?))
}

fn is_interpreter(command: &str) -> bool {
    let name = command.trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == '.');
    INTERPRETERS.contains(&name)
}

fn script_of(words: &[Cow<'_, str>]) -> Option<String> {
    let (program, arguments) = words.split_first()?;
    // By now it may have become another one.
    let base = |path: &str| Some(Path::new(path).file_name()?.to_string_lossy().into_owned());
    if !is_interpreter(base(program)?.trim_start_matches('-')) {
        return None;
    }
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let named = match argument.as_ref() {
            // A command, not a file.
            "-c" | "-e" => return None,
            "-m" | "-jar" => arguments.next()?,
            // What such a flag takes is no script.
            "-cp" | "-classpath" | "-W" | "-X" | "-r" | "-I" => {
                arguments.next();
                continue;
            }
            flag if flag.starts_with('-') => continue,
            _ => argument,
        };
        return base(named);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpreters_are_known_by_what_they_run() {
        for (line, expected) in [
            ("/usr/bin/python3 -u /srv/roles.py --fast", Some("roles.py")),
            ("python3 -m http.server 80", Some("http.server")),
            ("python3 -c print(1)", None),
            ("python3 -W error x.py", Some("x.py")),
            ("/usr/bin/java -cp /lib -jar /opt/app.jar", Some("app.jar")),
            ("-bash", None),
            ("dig x.py", None),
            ("", None),
        ] {
            let words: Vec<Cow<'_, str>> = line.split(' ').map(Cow::from).collect();
            assert_eq!(script_of(&words).as_deref(), expected, "{line}");
        }
        for (name, expected) in [
            ("python3.11", true),
            ("sh", true),
            ("ssh", false),
            ("node", true),
            ("dig", false),
            ("123", false),
        ] {
            assert_eq!(is_interpreter(name), expected, "{name}");
        }
    }

    fn owner(pid: u32, command: &str) -> Owner {
        Owner {
            pid,
            command: command.to_owned(),
            script: None,
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
