//! Which instructions this process uses, and on how many threads.
//!
//! The CPU is asked once, when a [`Cpu`] is made; `TINYMOOD_ISA` can force a lower level, so that
//! one machine can run the tests of all it has.

use std::{fmt, io};

use crate::memory::{Buffer, Memory, Zeroed};
use crate::pool::Pool;

/// A level of instructions that kernels are written for, lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// What the target guarantees (SSE2 on x86-64, NEON on aarch64), vectorised by the compiler.
    Portable,
    /// NEON by hand, and its dot products of bytes where the CPU has them.
    Neon,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512 F, BW, DQ and VL.
    Avx512,
    /// AVX-512, and tiles (AMX) for bf16.
    Amx,
}

/// What matrix multiplications multiply; they sum in f32, and int8 in i32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Precision {
    /// 32-bit floats.
    F32,
    /// Operands rounded to bfloat16 (8 bits of precision); all else stays f32.
    Bf16,
    /// Operands rounded to 8 bits, weights per output and activations per token; for inference only.
    Int8,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
            Precision::Int8 => "int8",
        })
    }
}

/// Why an instruction set cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IsaError {
    /// `TINYMOOD_ISA` holds something else than a level's name.
    #[error("TINYMOOD_ISA is {found:?}, expected one of: portable, neon, avx2, avx512, amx")]
    Unknown {
        /// What it holds.
        found: String,
    },
    /// The level is not there.
    #[error("TINYMOOD_ISA asks for {wanted}, this CPU has {best} at most")]
    Missing {
        /// The level asked for.
        wanted: Isa,
        /// The highest there is.
        best: Isa,
    },
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Isa::Portable => "portable",
            Isa::Neon => "neon",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
            Isa::Amx => "amx",
        })
    }
}

impl Isa {
    /// All levels, lowest first.
    pub const ALL: [Isa; 5] = [Isa::Portable, Isa::Neon, Isa::Avx2, Isa::Avx512, Isa::Amx];

    /// Whether this CPU has the level.
    pub fn is_available(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        match self {
            Isa::Portable => true,
            Isa::Neon => false,
            Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            Isa::Avx512 => {
                Isa::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
            Isa::Amx => Isa::Avx512.supports(Precision::Bf16) && crate::matmul::amx_is_available(),
        }
        #[cfg(target_arch = "aarch64")]
        match self {
            Isa::Portable => true,
            Isa::Neon => std::arch::is_aarch64_feature_detected!("neon"),
            Isa::Avx2 | Isa::Avx512 | Isa::Amx => false,
        }
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        {
            self == Isa::Portable
        }
    }

    /// Whether this level of this CPU multiplies in `precision`.
    pub fn supports(self, precision: Precision) -> bool {
        match precision {
            Precision::F32 | Precision::Int8 => true,
            #[cfg(target_arch = "x86_64")]
            Precision::Bf16 => self >= Isa::Avx512 && is_x86_feature_detected!("avx512bf16"),
            #[cfg(not(target_arch = "x86_64"))]
            Precision::Bf16 => false,
        }
    }

    /// The highest level of this CPU.
    pub fn best() -> Self {
        let available = Self::ALL.into_iter().rfind(|isa| isa.is_available());
        available.unwrap_or(Isa::Portable)
    }

    /// The level that `TINYMOOD_ISA` names, or the best where it is not set or empty.
    ///
    /// # Errors
    /// When it names no level, or one that this CPU lacks.
    pub fn from_environment() -> Result<Self, IsaError> {
        let found = std::env::var_os("TINYMOOD_ISA").unwrap_or_default();
        let found = found.to_string_lossy();
        if found.is_empty() {
            return Ok(Self::best());
        }
        let named = Self::ALL.into_iter().find(|isa| isa.to_string() == found.to_lowercase());
        let wanted = named.ok_or_else(|| IsaError::Unknown { found: found.into_owned() })?;
        if wanted.is_available() {
            Ok(wanted)
        } else {
            Err(IsaError::Missing { wanted, best: Self::best() })
        }
    }

    /// Runs `body` compiled for this level: what inlines into it is vectorised with the level's
    /// registers. The closure itself must be `#[inline(always)]`, or it is compiled for the lowest
    /// level; a test looks for those that are not.
    #[inline(always)]
    pub(crate) fn run<R>(self, body: impl FnOnce() -> R) -> R {
        debug_assert!(self.is_available());
        match self {
            // NEON is part of its target, and needs no other compilation.
            Isa::Portable | Isa::Neon => body(),
            // SAFETY: a level comes from `best`, `from_environment` or a test that asked
            // `is_available`; `Cpu::new` asserts it.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => unsafe { run_avx2(body) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 | Isa::Amx => unsafe { run_avx512(body) },
            #[cfg(not(target_arch = "x86_64"))]
            _ => body(),
        }
    }
}

/// # Safety
/// The CPU must have AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn run_avx2<R>(body: impl FnOnce() -> R) -> R {
    body()
}

/// # Safety
/// The CPU must have AVX-512 F, BW, DQ and VL.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn run_avx512<R>(body: impl FnOnce() -> R) -> R {
    body()
}

/// The hands of an engine: an instruction level, a precision and a pool of threads.
#[derive(Debug)]
pub struct Cpu {
    isa: Isa,
    precision: Precision,
    pool: Pool,
    memory: Memory,
}

impl Cpu {
    /// Takes `threads` threads (the caller's counted in) at level `isa`.
    ///
    /// # Errors
    /// When the system starts no more threads.
    ///
    /// # Panics
    /// When the CPU lacks the level, the level the precision, or `threads` is 0.
    pub fn new(isa: Isa, precision: Precision, threads: usize) -> io::Result<Self> {
        assert!(isa.is_available(), "this CPU lacks {isa}");
        assert!(isa.supports(precision), "{isa} of this CPU does not multiply in {precision}");
        Ok(Self { isa, precision, pool: Pool::new(threads)?, memory: Memory::default() })
    }

    /// The instruction level.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// What multiplications multiply.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// The number of threads.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// A buffer of `len` zeros.
    ///
    /// # Panics
    /// When the system has no such memory.
    pub fn buffer<T: Zeroed>(&self, len: usize) -> Buffer<T> {
        Buffer::new(&self.memory, len)
    }

    /// Makes a buffer `len` values long. What is in it afterwards is unspecified.
    ///
    /// # Panics
    /// When the system has no such memory.
    pub fn resize<T: Zeroed>(&self, buffer: &mut Buffer<T>, len: usize) {
        buffer.resize_in(&self.memory, len);
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }
}

/// Every level and precision of this CPU, on one thread and on three.
#[cfg(test)]
pub(crate) fn test_cpus() -> Vec<Cpu> {
    let mut cpus = Vec::new();
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        for precision in [Precision::F32, Precision::Bf16] {
            if isa.supports(precision) {
                cpus.extend([1, 3].map(|threads| Cpu::new(isa, precision, threads).unwrap()));
            }
        }
    }
    cpus
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_runs_at_a_level_is_inlined() {
        let mut files = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
        let mut found = 0;
        while let Some(path) = files.pop() {
            if path.is_dir() {
                files.extend(path.read_dir().unwrap().map(|entry| entry.unwrap().path()));
                continue;
            }
            let text: String = std::fs::read_to_string(&path).unwrap().split_whitespace().collect();
            for call in ["isa.run(", "isa().run("].iter().flat_map(|call| text.split(call).skip(1))
            {
                found += 1;
                assert!(call.starts_with("#[inline(always)]") || call.starts_with('"'), "{path:?}");
            }
        }
        assert!(found > 20, "{found} calls");
    }
}
