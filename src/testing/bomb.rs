//! Small files that unpack to large ones, and pictures that claim what is not there.
//!
//! Written by hand, because well-behaved encoders refuse to make them.

/// The one literal and the one match that zeros need, in the fixed codes of RFC 1951,
/// section 3.2.6, bits in the order in which they are sent.
const BLOCK_START: &str = "110";
const ZERO: &str = "00110000";
const MATCH_OF_258_AT_1: &str = "1100010100000";
const BLOCK_END: &str = "0000000";

/// Bytes that one match stands for.
const MATCH: usize = 258;

/// Collects bits, lowest first.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    pending: u32,
    count: u32,
}

impl Bits {
    fn put(&mut self, bits: &str) {
        for bit in bits.bytes() {
            self.pending |= u32::from(bit == b'1') << self.count;
            self.count += 1;
            if self.count == 8 {
                self.flush();
            }
        }
    }

    fn flush(&mut self) {
        if self.count > 0 {
            self.bytes.push(self.pending.to_le_bytes()[0]);
        }
        (self.pending, self.count) = (0, 0);
    }
}

/// Returns `length` zero bytes, deflated to about a hundred-and-sixtieth of that.
fn zeros_deflated(length: usize) -> Vec<u8> {
    let mut bits = Bits::default();
    bits.put(BLOCK_START);
    let matches = length.saturating_sub(1) / MATCH;
    for _ in 0..length - matches * MATCH {
        bits.put(ZERO);
    }
    for _ in 0..matches {
        bits.put(MATCH_OF_258_AT_1);
    }
    bits.put(BLOCK_END);
    bits.flush();
    bits.bytes
}

/// Returns `length` zero bytes as gzip without its trailer, which nobody should live to
/// see.
#[must_use]
pub fn zeros_gzipped(length: usize) -> Vec<u8> {
    [vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255], zeros_deflated(length)].concat()
}

/// Returns `length` zero bytes as a whole zlib stream.
#[must_use]
pub fn zeros_zlib(length: usize) -> Vec<u8> {
    // Adler-32 of zeros (RFC 1950): the sum of bytes stays 1, and is added once a byte.
    let sums = u16::try_from(length % 65_521).unwrap_or_default().to_be_bytes();
    [vec![0x78, 0x01], zeros_deflated(length), vec![sums[0], sums[1], 0, 1]].concat()
}

/// Returns one chunk of a PNG file.
#[must_use]
pub fn png_chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    crate::engine::png_chunk(*kind, data)
}

/// Returns a PNG file that claims `width` times `height` pixels of 8-bit gray, with
/// `more` chunks between the header and `pixels`, a zlib stream.
#[must_use]
pub fn png_with(width: u32, height: u32, more: &[u8], pixels: &[u8]) -> Vec<u8> {
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 0, 0, 0, 0]].concat();
    [
        &b"\x89PNG\r\n\x1a\n"[..],
        &png_chunk(b"IHDR", &header),
        more,
        &png_chunk(b"IDAT", pixels),
        &png_chunk(b"IEND", b""),
    ]
    .concat()
}

/// Returns a whole black PNG picture, small as a file at any size.
#[must_use]
pub fn black_png(width: u32, height: u32) -> Vec<u8> {
    // Each row is its filter's number and its samples.
    let bytes = (width as usize + 1) * height as usize;
    png_with(width, height, b"", &zeros_zlib(bytes))
}

/// Returns a whole black PNG of one pixel with a colour profile of `length` bytes.
#[must_use]
pub fn png_with_profile(length: usize) -> Vec<u8> {
    let profile = [b"bomb\0\0".to_vec(), zeros_zlib(length)].concat();
    png_with(1, 1, &png_chunk(b"iCCP", &profile), &zeros_zlib(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pictures_are_whole() {
        for (width, height) in [(1, 1), (300, 200), (1_000, 1_000)] {
            let picture = image::load_from_memory(&black_png(width, height)).unwrap();
            assert_eq!((picture.width(), picture.height()), (width, height));
            assert!(picture.as_bytes().iter().all(|sample| *sample == 0));
        }
        assert!(image::load_from_memory(&png_with_profile(100_000)).is_ok());
    }
}
