//! Reads the output of a kernel iterator, record by record. It does not know their content.

use std::io;

use libbpf_rs::{Iter, Link};

/// Records read at once.
const AT_ONCE: usize = 512;

/// Runs the iterator to its end, and hands over each record of `size` bytes.
pub(super) fn each_record(
    link: &Link,
    size: usize,
    mut record: impl FnMut(&[u8]),
) -> io::Result<()> {
    let mut iterator = Iter::new(link).map_err(io::Error::other)?;
    let mut buffer = vec![0; size * AT_ONCE];
    let mut filled = 0;
    loop {
        match io::Read::read(&mut iterator, &mut buffer[filled..]) {
            Ok(0) => return Ok(()),
            Ok(length) => filled += length,
            // The kernel pauses after a million objects that had nothing to say.
            Err(error) if is_pause(&error) => continue,
            Err(error) => return Err(error),
        }
        let whole = filled - filled % size;
        buffer[..whole].chunks_exact(size).for_each(&mut record);
        buffer.copy_within(whole..filled, 0);
        filled -= whole;
    }
}

fn is_pause(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
