//! The file of `--output-file`: opened so that no other user can replace it.

use std::fs::{self, File, Metadata, OpenOptions};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::unistd::{AccessFlags, Uid, access};

use crate::model::text::Visible;

/// Of a file that is made, before the umask.
const MODE: u32 = 0o640;
/// The permission bits of others who may write to a folder.
const OTHERS_WRITE: u32 = 0o022;

/// The file, open.
pub(in crate::run) struct OutputFile {
    path: PathBuf,
    file: File,
    /// A FIFO or a device: a write may have to wait.
    can_wait: bool,
    /// It was said that it cannot be written.
    is_said: bool,
}

impl OutputFile {
    /// Opens it, or makes it. A FIFO that nobody reads is an error.
    pub fn open(path: &Path) -> Result<Self> {
        let wrong = || format!("cannot write to --output-file {}", name(path));
        check_links(path).with_context(wrong)?;
        let open = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(MODE)
            // A FIFO or a terminal is not waited for.
            .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(path);
        let file = match open {
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) => {
                return Err(error)
                    .context("no program reads it: start its reader first")
                    .with_context(wrong);
            }
            other => other.with_context(wrong)?,
        };
        let found = file.metadata().with_context(wrong)?;
        check_owner(path, &found).with_context(wrong)?;
        Ok(Self {
            path: path.to_owned(),
            can_wait: !found.is_file(),
            file,
            is_said: false,
        })
    }

    /// Whether it could be opened, found out without making it; `flag` is what names it.
    pub fn try_out(path: &Path, flag: &str) -> Result<()> {
        let wrong = || format!("cannot write to {flag} {}", name(path));
        check_links(path).with_context(wrong)?;
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => bail!("{}: it is a folder", wrong()),
            Ok(found) => {
                check_owner(path, &found).with_context(wrong)?;
                access(path, AccessFlags::W_OK).with_context(wrong)
            }
            Err(_) => access(folder(path), AccessFlags::W_OK | AccessFlags::X_OK)
                .with_context(|| format!("{}: its folder", wrong())),
        }
    }

    /// Opens it again, as it was moved away; the old one stays where that fails.
    pub fn reopen(&mut self) -> Result<()> {
        *self = Self::open(&self.path)?;
        Ok(())
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where it is, links followed.
    pub fn folder(&self) -> PathBuf {
        let path = fs::canonicalize(&self.path);
        let path = path.as_deref().unwrap_or(&self.path);
        folder(path).to_owned()
    }

    pub fn can_wait(&self) -> bool {
        self.can_wait
    }

    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Lines were written.
    pub fn well(&mut self) {
        self.is_said = false;
    }

    /// Only a part of what was to be written was. No half line stays. Gives what is to be said, if that is news.
    pub fn failed(&mut self, error: Errno, written: &[u8]) -> Option<String> {
        let whole = written
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |end| end + 1);
        let half = (written.len() - whole) as u64;
        if !self.can_wait
            && half > 0
            && let Ok(found) = self.file.metadata()
        {
            let _ = self.file.set_len(found.len().saturating_sub(half));
        }
        let is_news = !std::mem::replace(&mut self.is_said, true);
        is_news.then(|| format!("cannot write to {}: {}", name(&self.path), error.desc()))
    }
}

/// Opens a file that is new, or empty from now on (`-w`), with the same care. A FIFO that nobody reads is an error.
pub(in crate::run) fn open_anew(path: &Path) -> Result<File> {
    let wrong = || format!("cannot write to {}", name(path));
    check_links(path).with_context(wrong)?;
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(MODE)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map_err(|error| match error.raw_os_error() {
            Some(libc::ENXIO) => {
                anyhow::Error::new(error).context("no program reads it: start its reader first")
            }
            _ => error.into(),
        })
        .with_context(wrong)?;
    let found = file.metadata().with_context(wrong)?;
    check_owner(path, &found).with_context(wrong)?;
    if found.is_file() {
        // Not when it is opened: it could be another's.
        file.set_len(0).with_context(wrong)?;
    } else {
        let flags = OFlag::from_bits_retain(fcntl(&file, FcntlArg::F_GETFL)?);
        fcntl(&file, FcntlArg::F_SETFL(flags - OFlag::O_NONBLOCK)).with_context(wrong)?;
    }
    Ok(file)
}

/// As it is shown.
pub(super) fn name(path: &Path) -> String {
    Visible(&path.to_string_lossy()).to_string()
}

/// Where it is.
fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// Others can make what they like in it, or take the place of what is there.
fn is_open_to_others(folder: &Path) -> Result<bool> {
    let found = fs::metadata(folder).with_context(|| name(folder))?;
    Ok(found.mode() & OTHERS_WRITE != 0 || !is_trusted(&found))
}

/// Ours, or root's.
fn is_trusted(found: &Metadata) -> bool {
    found.uid() == 0 || found.uid() == Uid::effective().as_raw()
}

/// A link of another user, in a folder that others write to, leads where they want.
fn check_links(path: &Path) -> Result<()> {
    for part in path.ancestors().filter(|part| *part != Path::new("")) {
        if let Ok(found) = fs::symlink_metadata(part)
            && found.is_symlink()
            && !is_trusted(&found)
            && is_open_to_others(folder(part))?
        {
            bail!(
                "{} is a link of another user. Choose a folder that is yours",
                name(part)
            );
        }
    }
    Ok(())
}

/// Nor is a file of another user written to where they could have put it, or one that has another name elsewhere.
fn check_owner(path: &Path, found: &Metadata) -> Result<()> {
    if !is_open_to_others(folder(path))? {
        return Ok(());
    }
    if !is_trusted(found) {
        bail!("it belongs to another user. Choose a folder that is yours");
    }
    if found.is_file() && found.nlink() != 1 {
        bail!("it has a second name (hard link). Choose a folder that is yours");
    }
    if found.file_type().is_block_device() {
        bail!("it is a disk");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    fn directory(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("udptrack-{name}-{}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        folder
    }

    #[test]
    fn a_file_is_made_for_its_owner_and_group() {
        let folder = directory("made");
        let path = folder.join("flows.json");
        let output = OutputFile::open(&path).unwrap();
        assert!(!output.can_wait());
        let mode = fs::metadata(&path).unwrap().mode() & 0o777;
        assert_eq!(mode & !0o640, 0, "{mode:o}");
        OutputFile::try_out(&path, "-w").unwrap();
        OutputFile::try_out(&folder.join("other.json"), "-w").unwrap();
        assert!(OutputFile::try_out(&folder, "-w").is_err());
        assert!(OutputFile::try_out(&folder.join("no/such"), "-w").is_err());
        assert!(!folder.join("other.json").exists());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_second_name_is_refused_where_others_write() {
        let folder = directory("names");
        let path = folder.join("flows.json");
        fs::write(folder.join("precious"), "").unwrap();
        fs::hard_link(folder.join("precious"), &path).unwrap();
        assert!(OutputFile::open(&path).is_ok());
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o1777)).unwrap();
        let error = OutputFile::open(&path).err().unwrap();
        assert!(format!("{error:#}").contains("a second name"), "{error:#}");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn links_of_our_own_are_followed() {
        let folder = directory("links");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o1777)).unwrap();
        let path = folder.join("flows.json");
        symlink("flows-of-today.json", &path).unwrap();
        OutputFile::open(&path).unwrap();
        assert!(folder.join("flows-of-today.json").exists());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn half_a_line_is_taken_back() {
        let folder = directory("half");
        let path = folder.join("flows.json");
        fs::write(&path, "old\none\ntw").unwrap();
        let mut output = OutputFile::open(&path).unwrap();
        let message = output.failed(Errno::ENOSPC, b"one\ntw").unwrap();
        assert!(message.contains("No space left"), "{message}");
        assert_eq!(output.failed(Errno::ENOSPC, b""), None);
        let mut text = String::new();
        File::open(&path)
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "old\none\n");
        fs::remove_dir_all(folder).unwrap();
    }
}
