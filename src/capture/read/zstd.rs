//! All frames of a zstd file as one stream.

use std::io::{self, BufRead, Read};

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// What a frame may want of memory at most: `zstd -d` has the same bound.
const WINDOW_MAX: u64 = 128 << 20;
/// A block's header that ends the frame, and holds nothing: last, raw, of no bytes. A checksum may be wanted behind it.
const EMPTY_LAST_BLOCK: [u8; 7] = [1, 0, 0, 0, 0, 0, 0];

pub(super) struct Zstd<R> {
    input: R,
    decoder: FrameDecoder,
    is_within_frame: bool,
    /// What is reported when all has been handed out that was unpacked before it.
    failure: Option<io::Error>,
}

impl<R: BufRead> Zstd<R> {
    pub fn new(input: R) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(WINDOW_MAX);
        Self {
            input,
            decoder,
            is_within_frame: false,
            failure: None,
        }
    }

    /// Begins the next frame that is not to be skipped. Returns whether there is one.
    fn begin(&mut self) -> io::Result<bool> {
        while !self.input.fill_buf()?.is_empty() {
            match self.decoder.init(&mut self.input) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let skipped = io::copy(
                        &mut self.input.by_ref().take(length.into()),
                        &mut io::sink(),
                    )?;
                    if skipped < length.into() {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(self.failed(error)),
            }
        }
        Ok(false)
    }

    /// The library says the cause in its own types: whether the input ended is seen by the input.
    fn failed(&mut self, error: FrameDecoderError) -> io::Error {
        match self.input.fill_buf() {
            Ok([]) => io::ErrorKind::UnexpectedEof.into(),
            Ok(_) => io::Error::new(io::ErrorKind::InvalidData, error),
            Err(error) => error,
        }
    }

    fn unpack_block(&mut self) {
        let one = BlockDecodingStrategy::UptoBlocks(1);
        if let Err(error) = self.decoder.decode_blocks(&mut self.input, one) {
            self.failure = Some(self.failed(error));
            // It holds back as much as later blocks might repeat. There are none: so it hands that out, too.
            let rest = BlockDecodingStrategy::UptoBlocks(1);
            let _ = self.decoder.decode_blocks(&EMPTY_LAST_BLOCK[..], rest);
        }
    }

    /// Ends a frame that was handed out to its end.
    fn end(&mut self) {
        self.is_within_frame = false;
        let wanted = self.decoder.get_checksum_from_data();
        if self.failure.is_none()
            && wanted.is_some()
            && wanted != self.decoder.get_calculated_checksum()
        {
            self.failure = Some(io::Error::new(
                io::ErrorKind::InvalidData,
                "its checksum differs",
            ));
        }
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.decoder.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            if self.is_within_frame && self.decoder.is_finished() {
                self.end();
            }
            if let Some(failure) = self.failure.take() {
                return Err(failure);
            }
            if self.is_within_frame {
                self.unpack_block();
            } else if self.begin()? {
                self.is_within_frame = true;
            } else {
                return Ok(0);
            }
        }
    }
}
