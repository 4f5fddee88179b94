//! A file or standard input as the bytes that it unpacks to: plain, gzip and zstd, told by their first bytes.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;

use super::error::Cause;
use super::zstd::Zstd;

/// How much is asked of the system at once.
const CHUNK: usize = 256 * 1024;
/// How much is unpacked at once: where the data is damaged, the libraries give nothing of the step that finds it.
const STEP: usize = 8 * 1024;

/// What is read, and how far it is.
pub(super) struct Unpacked {
    reader: Box<dyn Read + Send>,
    /// The name of what it is packed with.
    with: Option<&'static str>,
    read_bytes: Arc<AtomicU64>,
    total_bytes: Option<u64>,
}

/// Counts what is read of the file itself.
struct Counted<R> {
    inner: R,
    read_bytes: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.read_bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl Unpacked {
    pub fn file(file: File) -> Result<Self, Cause> {
        let metadata = file.metadata().map_err(Cause::Io)?;
        let total_bytes = metadata.is_file().then_some(metadata.len());
        Self::new(file, total_bytes)
    }

    pub fn new(input: impl Read + Send + 'static, total_bytes: Option<u64>) -> Result<Self, Cause> {
        let read_bytes = Arc::new(AtomicU64::new(0));
        let mut counted = Counted {
            inner: input,
            read_bytes: Arc::clone(&read_bytes),
        };
        let mut first = Vec::new();
        counted
            .by_ref()
            .take(6)
            .read_to_end(&mut first)
            .map_err(Cause::Io)?;
        let packing = Packing::of(&first);
        let whole = Cursor::new(first).chain(counted);
        let buffered = |whole| BufReader::with_capacity(CHUNK, whole);
        let (with, reader): (_, Box<dyn Read + Send>) = match packing {
            Packing::None => (None, Box::new(whole)),
            // Several members one after the other are one file, as gzip itself has it.
            Packing::Gzip => (Some("gzip"), Box::new(MultiGzDecoder::new(buffered(whole)))),
            Packing::Zstd => (Some("zstd"), Box::new(Zstd::new(buffered(whole)))),
            Packing::Other(command) => return Err(Cause::Packed(command)),
        };
        Ok(Self {
            reader,
            with,
            read_bytes,
            total_bytes,
        })
    }

    pub fn is_packed(&self) -> bool {
        self.with.is_some()
    }

    /// Bytes read of the file itself.
    pub fn read_bytes(&self) -> u64 {
        self.read_bytes.load(Ordering::Relaxed)
    }

    pub fn total_bytes(&self) -> Option<u64> {
        self.total_bytes
    }

    /// Waits for bytes; none are there at the end.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Cause> {
        let most = if self.is_packed() { STEP } else { usize::MAX };
        let length = buffer.len().min(most);
        loop {
            match self.reader.read(&mut buffer[..length]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => {
                    return read.map_err(|error| match self.with {
                        // What the system says is no fault of the data.
                        Some(with) if error.raw_os_error().is_none() => Cause::Unpack(with, error),
                        _ => Cause::Io(error),
                    });
                }
            }
        }
    }
}

enum Packing {
    None,
    Gzip,
    Zstd,
    /// The command that unpacks it.
    Other(&'static str),
}

impl Packing {
    fn of(first: &[u8]) -> Self {
        match first {
            [0x1f, 0x8b, ..] => Self::Gzip,
            // A frame, or one to be skipped, which pzstd begins with.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0] => Self::Other("xz -dc"),
            [b'B', b'Z', b'h', ..] => Self::Other("bzip2 -dc"),
            [0x04, 0x22, 0x4d, 0x18, ..] => Self::Other("lz4 -dc"),
            [b'P', b'K', 3, 4, ..] => Self::Other("unzip -p"),
            _ => Self::None,
        }
    }
}
