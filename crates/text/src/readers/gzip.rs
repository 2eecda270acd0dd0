//! What is compressed in gzip (RFC 1952), member after member.
//!
//! flate2's own reader loses up to 32 KiB of text that it has decoded when it meets damage. This one gives all
//! of it before the error, so that no whole row before the damage is lost.

use std::io::{self, BufRead, BufReader, Read};

use flate2::{Crc, Decompress, FlushDecompress, Status};

/// Compressed bytes decoded at a time. DEFLATE makes at most 1032 bytes of one, so that [`READY`] holds all.
const FED: usize = 256;
const READY: usize = 1040 * FED;

/// The bytes in a gzip file.
pub(crate) struct Gzip<R> {
    source: BufReader<R>,
    place: Place,
    inflate: Decompress,
    checksum: Crc,
    /// Decoded; the first `given` of `ready` were given away.
    decoded: Vec<u8>,
    ready: usize,
    given: usize,
}

enum Place {
    /// Before the first member, or a later one.
    Header { is_first: bool },
    /// In the compressed data.
    Body,
    /// Behind them.
    Trailer,
    /// At the end, or behind damage.
    End,
}

impl<R: Read> Gzip<R> {
    pub(crate) fn new(source: R) -> Self {
        Self {
            source: BufReader::with_capacity(1 << 15, source),
            place: Place::Header { is_first: true },
            inflate: Decompress::new(false),
            checksum: Crc::new(),
            decoded: vec![0; READY],
            ready: 0,
            given: 0,
        }
    }

    /// Takes one step; returns false at the end.
    fn step(&mut self) -> io::Result<bool> {
        match self.place {
            Place::Header { is_first } => {
                if !is_first && self.has_ended()? {
                    self.place = Place::End;
                    return Ok(false);
                }
                self.header()?;
                self.inflate.reset(false);
                self.checksum = Crc::new();
                self.place = Place::Body;
            }
            Place::Body => self.body()?,
            Place::Trailer => {
                let [sum, size] = [self.four()?, self.four()?];
                if (sum, size) != (self.checksum.sum(), self.checksum.amount()) {
                    return Err(damaged("its checksum does not fit"));
                }
                self.place = Place::Header { is_first: false };
            }
            Place::End => return Ok(false),
        }
        Ok(true)
    }

    /// Whether nothing follows a member but zeros, with which some writers fill a block.
    fn has_ended(&mut self) -> io::Result<bool> {
        loop {
            let chunk = self.source.fill_buf()?;
            let zeros = chunk.iter().take_while(|&&byte| byte == 0).count();
            if chunk.is_empty() || zeros < chunk.len() {
                let is_end = chunk.is_empty();
                self.source.consume(zeros);
                return Ok(is_end);
            }
            self.source.consume(zeros);
        }
    }

    fn header(&mut self) -> io::Result<()> {
        let [first, second] = [self.byte()?, self.byte()?];
        if [first, second] != [0x1F, 0x8B] {
            return Err(damaged("no gzip data where they should begin"));
        }
        let (method, flags) = (self.byte()?, self.byte()?);
        if method != 8 {
            return Err(damaged("a method of compression that is not DEFLATE"));
        }
        for _ in 0..6 {
            self.byte()?; // time, level, system
        }
        if flags & 4 != 0 {
            let length = u16::from_le_bytes([self.byte()?, self.byte()?]);
            for _ in 0..length {
                self.byte()?;
            }
        }
        for text in [8, 16] {
            while flags & text != 0 && self.byte()? != 0 {} // a file's name, a comment
        }
        if flags & 2 != 0 {
            self.byte()?;
            self.byte()?; // the header's own checksum
        }
        Ok(())
    }

    fn body(&mut self) -> io::Result<()> {
        let chunk = self.source.fill_buf()?;
        let fed = &chunk[..chunk.len().min(FED)];
        let is_end = fed.is_empty();
        let (read, written) = (self.inflate.total_in(), self.inflate.total_out());
        let status = self.inflate.decompress(fed, &mut self.decoded, FlushDecompress::None);
        self.source.consume((self.inflate.total_in() - read) as usize);
        self.ready = (self.inflate.total_out() - written) as usize;
        self.given = 0;
        self.checksum.update(&self.decoded[..self.ready]);
        match status {
            Ok(Status::StreamEnd) => self.place = Place::Trailer,
            Ok(_) if is_end && self.ready == 0 => return Err(ends_early()),
            Ok(_) => {}
            // What was decoded before is given first; the next call meets the damage again.
            Err(_) if self.ready > 0 => {}
            Err(_) => return Err(damaged("its compressed data are not as they were written")),
        }
        Ok(())
    }

    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        match self.source.read_exact(&mut byte) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(ends_early()),
            result => result.map(|()| byte[0]),
        }
    }

    fn four(&mut self) -> io::Result<u32> {
        Ok(u32::from_le_bytes([self.byte()?, self.byte()?, self.byte()?, self.byte()?]))
    }
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the .gz file is damaged: {what}"))
}

fn ends_early() -> io::Error {
    let problem = "the .gz file is cut off: it ends within its compressed data";
    io::Error::new(io::ErrorKind::UnexpectedEof, problem)
}

impl<R: Read> Read for Gzip<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.given == self.ready {
            if !self.step()? {
                return Ok(0);
            }
        }
        let given = (&self.decoded[self.given..self.ready]).read(out)?;
        self.given += given;
        Ok(given)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::read::MultiGzDecoder;
    use flate2::write::GzEncoder;
    use flate2::{Compression, GzBuilder};

    use super::*;

    /// Hardly compressible bytes, and as many that are all the same.
    fn contents() -> Vec<u8> {
        let mut state = 1_u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..200_000).map(|at| if at < 100_000 { noise() } else { b'x' }).collect()
    }

    fn compressed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> (Vec<u8>, io::Result<usize>) {
        let mut out = Vec::new();
        let result = Gzip::new(bytes).read_to_end(&mut out);
        (out, result)
    }

    #[test]
    fn members_are_read_as_flate2_reads_them() {
        let contents = contents();
        let builder = GzBuilder::new().filename("a.csv").comment("of ours").extra(&b"more"[..]);
        let mut named = builder.write(Vec::new(), Compression::fast());
        named.write_all(&contents).unwrap();
        let files =
            [compressed(b""), compressed(&contents), named.finish().unwrap(), compressed(b"a")];
        let all = files.concat();
        let mut expected = Vec::new();
        MultiGzDecoder::new(&all[..]).read_to_end(&mut expected).unwrap();
        let (out, result) = read(&all);
        assert_eq!(result.unwrap(), 2 * contents.len() + 1);
        assert!(out == expected);
        let padded = [&all[..], &[0; 700]].concat();
        assert!(read(&padded).0 == expected && read(&padded).1.is_ok());
        assert!(read(&[&all[..], b"more"].concat()).1.is_err());
        assert!(read(b"").1.is_err());
    }

    #[test]
    fn all_before_damage_is_given() {
        let contents = contents();
        let whole = compressed(&contents);
        for end in [whole.len() - 1, whole.len() - 8, whole.len() - 9] {
            let (out, result) = read(&whole[..end]);
            assert_eq!(result.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
            assert!(contents.starts_with(&out) && out.len() > contents.len() - 1100);
        }
        for end in (12..whole.len()).step_by(997) {
            // Noise is stored: each of its bytes is there as it is.
            let (out, result) = read(&whole[..end]);
            let stored = end.saturating_sub(100).min(90_000);
            assert!(result.is_err() && contents.starts_with(&out));
            assert!(out.len() >= stored, "{} of {end} bytes", out.len());
        }
        let mut other_sum = whole.clone();
        *other_sum.iter_mut().nth_back(5).unwrap() ^= 1;
        let (out, result) = read(&other_sum);
        assert!(out == contents && result.unwrap_err().to_string().contains("checksum"));
        // A block of no type there is, behind 1 MB of which a few hundred bytes tell.
        let long = vec![b'y'; 1 << 20];
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&long).unwrap();
        encoder.flush().unwrap();
        let mut bytes = encoder.get_ref().clone();
        bytes.extend([0xFF; 40]);
        let (out, result) = read(&bytes);
        assert!(out == long, "{} bytes", out.len());
        assert!(result.unwrap_err().to_string().contains("damaged"));
    }
}
