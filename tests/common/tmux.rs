//! A terminal that a test can type at and read: a tmux server of its own, on a socket of its own.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{TempDir, wait_for};

/// How long a program may take until it shows something: it loads programs into the kernel first.
const LIMIT: Duration = Duration::from_secs(60);
/// Shown when the program has ended, before its status.
const ENDED: &str = "ended with ";

/// A terminal with one program on it.
#[derive(Debug)]
pub struct Tmux {
    socket: PathBuf,
    folder: TempDir,
}

impl Tmux {
    /// Runs `command` on a terminal of this size. When it has ended the screen shows `ended with STATUS`, and how the
    /// terminal is set.
    pub fn start(command: &Command, (width, height): (u16, u16)) -> Self {
        let mut words = String::new();
        for (name, value) in command.get_envs() {
            let value = value.map(|value| value.to_string_lossy().into_owned());
            match value {
                Some(value) => writeln!(words, "export {}={}", name.display(), quoted(&value)),
                None => writeln!(words, "unset {}", name.display()),
            }
            .unwrap();
        }
        let arguments = std::iter::once(command.get_program()).chain(command.get_args());
        let arguments: Vec<String> = arguments
            .map(|argument| quoted(&argument.to_string_lossy()))
            .collect();
        let folder = TempDir::new("tmux");
        let pid = folder.path().join("pid");
        // The inner shell becomes the program, so its process id is the program's.
        let inner = format!("echo $$ >{}; exec {}", pid.display(), arguments.join(" "));
        let script = format!(
            "{words}sh -c {}\necho \"{ENDED}$?\"\nstty -a\nexec sleep 1000\n",
            quoted(&inner)
        );
        let script = folder.file("script", &script);
        Self::with(
            folder,
            (width, height),
            &["sh", &script.display().to_string()],
        )
    }

    /// A shell with job control.
    pub fn shell((width, height): (u16, u16)) -> Self {
        let folder = TempDir::new("tmux");
        Self::with(
            folder,
            (width, height),
            &["bash", "--norc", "--noprofile", "-i"],
        )
    }

    fn with(folder: TempDir, (width, height): (u16, u16), command: &[&str]) -> Self {
        let tmux = Self {
            socket: folder.path().join("socket"),
            folder,
        };
        let (width, height) = (width.to_string(), height.to_string());
        let session = [
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            &width,
            "-y",
            &height,
        ];
        tmux.run(&[&session[..], command].concat());
        tmux
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let output = Command::new("tmux")
            .arg("-S")
            .arg(&self.socket)
            .args(arguments)
            .env_remove("TMUX")
            .output()
            .expect("tmux (package tmux) runs");
        assert!(
            output.status.success(),
            "tmux {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        output
    }

    /// Presses keys, by tmux's names for them: letters, `Enter`, `Escape`, `C-c`.
    pub fn keys(&self, keys: &[&str]) {
        self.run(&[&["send-keys", "--"], keys].concat());
    }

    /// Gives the terminal another size.
    pub fn resize(&self, width: u16, height: u16) {
        self.run(&[
            "resize-window",
            "-x",
            &width.to_string(),
            "-y",
            &height.to_string(),
        ]);
    }

    /// The screen.
    #[must_use]
    pub fn screen(&self) -> String {
        let output = self.run(&["capture-pane", "-p"]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The screen with the codes of its colours.
    #[must_use]
    pub fn colored_screen(&self) -> String {
        let output = self.run(&["capture-pane", "-p", "-e"]);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Waits for a screen that fits, and returns it.
    pub fn wait(&self, what: &str, fits: impl Fn(&str) -> bool) -> String {
        let mut last = String::new();
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_for(what, LIMIT, || {
                last = self.screen();
                fits(&last).then(|| last.clone())
            })
        }));
        found.unwrap_or_else(|_| panic!("waited in vain for {what} on:\n{last}"))
    }

    /// Waits for a screen with all of these texts on it.
    pub fn wait_for(&self, texts: &[&str]) -> String {
        self.wait(&format!("{texts:?}"), |screen| {
            texts.iter().all(|text| screen.contains(text))
        })
    }

    /// The program's process id.
    #[must_use]
    pub fn pid(&self) -> Pid {
        let file = self.folder.path().join("pid");
        Pid::from_raw(read(&file).trim().parse().expect("a process id"))
    }

    /// Sends a signal to the program.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("the program runs");
    }

    /// Stops the terminal, or lets it go on: it reads nothing meanwhile, nor can it be asked.
    pub fn stop(&self, signal: Signal) {
        let server = self.folder.path().join("server");
        if !server.exists() {
            let output = self.run(&["display-message", "-p", "#{pid}"]);
            std::fs::write(&server, output.stdout).expect("the folder is there");
        }
        let pid = read(&server).trim().parse().expect("a process id");
        kill(Pid::from_raw(pid), signal).expect("the server runs");
    }

    /// Waits for the end of the program with this status, and checks that the terminal is as it was: no alternate screen,
    /// lines and echo on, the cursor to be seen. Returns the screen.
    pub fn wait_for_end(&self, status: i32) -> String {
        let screen = self.wait_for(&[&format!("{ENDED}{status}\n"), "-extproc"]);
        self.assert_restored();
        for setting in ["icanon", "echo", "isig", "opost"] {
            let words: Vec<&str> = screen.split([' ', '\n']).collect();
            assert!(words.contains(&setting), "{setting} is off:\n{screen}");
        }
        screen
    }

    /// Checks what tmux knows of the screen.
    pub fn assert_restored(&self) {
        let format = "#{alternate_on} #{cursor_flag}";
        let output = self.run(&["display-message", "-p", format]);
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "0 1");
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        if self.folder.path().join("server").exists() {
            self.stop(Signal::SIGCONT);
        }
        if std::thread::panicking() {
            eprintln!("--- the terminal\n{}", self.screen());
        }
        self.run(&["kill-server"]);
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// One word for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
