//! Turns what the kernel tells about a process into text for people: names of users and control groups.

use std::collections::HashMap;
use std::fs;
use std::rc::Rc;
use std::time::SystemTime;

use super::cgroups::Cgroups;
use super::command_line;
use super::socket::Holder;
use crate::model::Owner;

/// How many processes are remembered; then all are forgotten and read again.
const REMEMBERED_MAX: usize = 4096;

/// Makes owners, each once.
#[derive(Debug)]
pub(super) struct Owners {
    known: HashMap<Holder, Rc<Owner>>,
    cgroups: Cgroups,
    users: Users,
}

impl Owners {
    pub fn new() -> Self {
        Self {
            known: HashMap::new(),
            cgroups: Cgroups::new(),
            users: Users::default(),
        }
    }

    pub fn owner(&mut self, holder: &Holder, now_ns: u64) -> Rc<Owner> {
        if let Some(owner) = self.known.get(holder) {
            return Rc::clone(owner);
        }
        if self.known.len() >= REMEMBERED_MAX {
            self.known.clear();
        }
        let place = self.cgroups.place(holder, now_ns);
        let command = command(&holder.command);
        let owner = Rc::new(Owner {
            pid: holder.pid,
            script: command_line::script(holder.pid, &command),
            command,
            uid: holder.uid,
            user: self.users.name(holder.uid),
            cgroup: place.path,
            container: place.container,
        });
        self.known.insert(*holder, Rc::clone(&owner));
        owner
    }
}

fn command(bytes: &[u8; 16]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(&bytes[..end.unwrap_or(bytes.len())]).into_owned()
}

/// Names of users, from /etc/passwd alone: the system's name service would load libraries, which a static program cannot.
#[derive(Debug, Default)]
struct Users {
    names: HashMap<u32, String>,
    /// The file that was read, by its time.
    read: Option<SystemTime>,
}

impl Users {
    const FILE: &'static str = "/etc/passwd";

    /// The user's name, or the number.
    fn name(&mut self, uid: u32) -> String {
        if !self.names.contains_key(&uid) {
            let changed = fs::metadata(Self::FILE)
                .and_then(|file| file.modified())
                .ok();
            if changed.is_some() && changed != self.read {
                self.read = changed;
                let text = fs::read(Self::FILE).unwrap_or_default();
                self.names = names(&String::from_utf8_lossy(&text));
            }
        }
        self.names
            .get(&uid)
            .cloned()
            .unwrap_or_else(|| uid.to_string())
    }
}

/// `name:password:uid:…`; of several names for one id the first counts, as for `getpwuid()`.
fn names(passwd: &str) -> HashMap<u32, String> {
    let mut names = HashMap::new();
    for line in passwd.lines() {
        let mut fields = line.split(':');
        let (Some(name), Some(uid)) = (fields.next(), fields.nth(1)) else {
            continue;
        };
        if let (false, Ok(uid)) = (name.is_empty(), uid.parse::<u32>()) {
            names.entry(uid).or_insert_with(|| name.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_by_their_ids() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\ntoor:x:0:0::/:/bin/sh\n\n# no user\n+::::::\n:x:5:\n\
            nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\nbad:x:-1:1::/:\n";
        let names = names(passwd);
        assert_eq!(names.get(&0).map(String::as_str), Some("root"));
        assert_eq!(names.get(&65534).map(String::as_str), Some("nobody"));
        assert_eq!(names.len(), 2);
    }

    #[test]
    fn a_user_without_a_name_is_a_number() {
        assert_eq!(Users::default().name(4_294_967_290), "4294967290");
    }

    #[test]
    fn names_of_processes_end_at_the_zero() {
        assert_eq!(command(b"dig\0\0\0\0\0\0\0\0\0\0\0\0\0"), "dig");
        assert_eq!(command(b"sixteen bytes ok"), "sixteen bytes ok");
        assert_eq!(
            command(b"a\xff\x1b[31m\0\0\0\0\0\0\0\0\0"),
            "a\u{fffd}\x1b[31m"
        );
    }
}
