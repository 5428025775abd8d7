//! AMX: a unit that multiplies 16 rows of signed bytes with 16 rows of weights in one instruction. (Intel, Architecture
//! Instruction Set Extensions Programming Reference, chapter 3; Rust has no stable intrinsics for it.)
#![allow(unsafe_code)]

use std::marker::PhantomData;

use super::{Bytes, LANES};

/// 32 columns of 16 rows of weights, as signed bytes: lines of four columns.
pub(crate) type Part = [[Bytes; 4]; 8];

/// The sums of 16 rows of x with 16 rows of weights.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Sums(pub(crate) [[Bytes; 4]; LANES]);

impl Sums {
    pub(crate) const ZERO: Sums = Sums([[[0; LANES]; 4]; LANES]);
}

/// Proof that this machine has AMX for bytes, and that the system lets this process use it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amx(());

impl Amx {
    pub(super) fn detect() -> Option<Amx> {
        machine::permitted().then_some(Amx(()))
    }

    /// Sets this thread's unit up for `rows` rows of x, 1 to 16.
    pub(crate) fn unit(self, rows: usize) -> Unit {
        assert!((1..=LANES).contains(&rows), "{rows} rows");
        let mut config = machine::Config { palette: 1, start: 0, none: [0; 14], width: [0; 16], rows: [0; 16] };
        // Four registers for sums, two for rows of x, two for weights.
        let kinds = [(4, rows, 64), (2, rows, 32), (2, 8, 64)];
        let registers = kinds.into_iter().flat_map(|(n, rows, width)| std::iter::repeat_n((rows, width), n));
        for (i, (rows, width)) in registers.enumerate() {
            (config.rows[i], config.width[i]) = (rows as u8, width);
        }
        // SAFETY: `self` is the proof that there is such a unit.
        unsafe { machine::configure(&config) };
        Unit { rows, _of_this_thread: PhantomData }
    }
}

/// A thread's unit, set up; released when dropped.
#[derive(Debug)]
pub(crate) struct Unit {
    rows: usize,
    _of_this_thread: PhantomData<*const ()>,
}

impl Unit {
    /// The exact sums of some parts of two tiles with the unit's rows of x. A row has its signed bytes in the first halves of as many
    /// blocks. Rows are `stride` blocks apart.
    #[inline(always)]
    pub(crate) fn multiply(&self, x: &[[f32; 16]], stride: usize, [v, w]: [&[Part]; 2], out: &mut [[Sums; 2]]) {
        assert!(v.len() >= out.len() && w.len() >= out.len(), "parts of weights");
        assert!(x.len() >= (self.rows - 1) * stride + out.len(), "rows of x");
        let mut done = 0;
        while done < out.len() {
            let (x, v, w) = (x[done..].as_ptr(), v[done..].as_ptr(), w[done..].as_ptr());
            // SAFETY: as has been checked, there are as many parts of each.
            unsafe {
                match out[done..].first_chunk_mut() {
                    Some(out) => machine::multiply_four(x, stride, [v, w], out),
                    None => machine::multiply(x, stride, [v, w], &mut out[done]),
                }
            }
            done += if out.len() - done >= 4 { 4 } else { 1 };
        }
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        // SAFETY: it was this thread that set it up.
        unsafe { machine::release() }
    }
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod machine {
    use std::arch::asm;
    use std::arch::x86_64::__cpuid_count;

    use super::{Part, Sums};

    /// What LDTILECFG reads.
    #[repr(C, align(64))]
    pub(super) struct Config {
        pub(super) palette: u8,
        pub(super) start: u8,
        pub(super) none: [u8; 14],
        /// Bytes of each register's rows.
        pub(super) width: [u16; 16],
        pub(super) rows: [u8; 16],
    }

    /// Asks the system, which saves the unit's large state only for processes that want it.
    pub(super) fn permitted() -> bool {
        const ARCH_PRCTL: i64 = 158;
        const REQUEST: usize = 0x1023;
        const TILE_DATA: usize = 18;
        let features = __cpuid_count(7, 0).edx;
        let (tiles, bytes) = (features >> 24 & 1, features >> 25 & 1);
        if tiles & bytes == 0 {
            return false;
        }
        let mut result = ARCH_PRCTL;
        // SAFETY: this call reads no memory; a system that does not know it answers with an error.
        unsafe {
            asm!("syscall", inlateout("rax") result, in("rdi") REQUEST, in("rsi") TILE_DATA, out("rcx") _, out("r11") _);
        }
        result == 0
    }

    pub(super) unsafe fn configure(config: &Config) {
        // SAFETY: as promised, the instruction is there.
        unsafe { asm!("ldtilecfg [{}]", in(reg) config, options(nostack, readonly, preserves_flags)) }
    }

    pub(super) unsafe fn release() {
        // SAFETY: as promised, the instruction is there.
        unsafe { asm!("tilerelease", options(nostack, nomem, preserves_flags)) }
    }

    /// Instructions for one part: where it begins in x, in weights and in the result, and the registers for its sums and for x.
    macro_rules! part {
        ($x:literal $w:literal $first:literal $second:literal, $a:literal $b:literal $c:literal) => {
            concat!(
                "tilezero tmm",
                $a,
                "\n tilezero tmm",
                $b,
                "\n tileloadd tmm",
                $c,
                ", [{x} + 1*{stride} + ",
                $x,
                "]",
                "\n tileloadd tmm6, [{v} + 1*{line} + ",
                $w,
                "]",
                "\n tdpbssd tmm",
                $a,
                ", tmm",
                $c,
                ", tmm6",
                "\n tileloadd tmm7, [{w} + 1*{line} + ",
                $w,
                "]",
                "\n tdpbssd tmm",
                $b,
                ", tmm",
                $c,
                ", tmm7",
                "\n tilestored [{out} + 1*{line} + ",
                $first,
                "], tmm",
                $a,
                "\n tilestored [{out} + 1*{line} + ",
                $second,
                "], tmm",
                $b,
            )
        };
    }

    macro_rules! multiply {
        ($x:ident $stride:ident $w:ident $out:ident; $($part:expr),*) => {
            // SAFETY: as promised, x, w and out have what the unit is set up for. No one else uses its registers.
            unsafe {
                asm!(
                    $($part,)*
                    x = in(reg) $x,
                    stride = in(reg) $stride * size_of::<[f32; 16]>(),
                    v = in(reg) $w[0],
                    w = in(reg) $w[1],
                    out = in(reg) std::ptr::from_mut($out),
                    line = in(reg) 64usize,
                    options(nostack, preserves_flags),
                )
            }
        };
    }

    #[inline(always)]
    pub(super) unsafe fn multiply(x: *const [f32; 16], stride: usize, w: [*const Part; 2], out: &mut [Sums; 2]) {
        multiply!(x stride w out; part!(0 0 0 1024, 0 1 4));
    }

    /// Four parts, one after the other.
    #[inline(always)]
    pub(super) unsafe fn multiply_four(
        x: *const [f32; 16],
        stride: usize,
        w: [*const Part; 2],
        out: &mut [[Sums; 2]; 4],
    ) {
        multiply!(
            x stride w out;
            part!(0 0 0 1024, 0 1 4),
            part!(64 512 2048 3072, 2 3 5),
            part!(128 1024 4096 5120, 0 1 4),
            part!(192 1536 6144 7168, 2 3 5)
        );
    }
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
mod machine {
    use super::{Part, Sums};

    pub(super) struct Config {
        pub(super) palette: u8,
        pub(super) start: u8,
        pub(super) none: [u8; 14],
        pub(super) width: [u16; 16],
        pub(super) rows: [u8; 16],
    }

    pub(super) fn permitted() -> bool {
        false
    }

    pub(super) unsafe fn configure(_: &Config) {}

    pub(super) unsafe fn release() {}

    pub(super) unsafe fn multiply(_: *const [f32; 16], _: usize, _: [*const Part; 2], _: &mut [Sums; 2]) {}

    pub(super) unsafe fn multiply_four(_: *const [f32; 16], _: usize, _: [*const Part; 2], _: &mut [[Sums; 2]; 4]) {}
}
