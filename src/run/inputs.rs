//! Files that are read (`-r`): nothing may be written to them.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::model::text::Visible;

/// The files, whatever their names are.
#[derive(Debug, Default)]
pub(super) struct Inputs(Vec<(u64, u64)>);

impl Inputs {
    /// These; `-` is standard input.
    pub fn of(paths: &[PathBuf]) -> Self {
        let found = paths.iter().filter_map(|path| {
            let metadata = if path.as_os_str() == "-" {
                let stdin = io::stdin().as_fd().try_clone_to_owned();
                stdin.map(File::from).and_then(|file| file.metadata())
            } else {
                fs::metadata(path)
            };
            metadata.ok().filter(Metadata::is_file)
        });
        Self(found.map(|it| (it.dev(), it.ino())).collect())
    }

    /// An error if this open file is one of them.
    pub fn refuse(&self, output: &Metadata) -> Result<()> {
        if self.0.contains(&(output.dev(), output.ino())) {
            bail!("-r reads this file: write to another one");
        }
        Ok(())
    }

    /// An error if the file with this name is one of them.
    pub fn refuse_at(&self, path: &Path) -> Result<()> {
        let name = || format!("cannot write to {}", Visible(&path.to_string_lossy()));
        fs::metadata(path).map_or(Ok(()), |found| self.refuse(&found).with_context(name))
    }
}
