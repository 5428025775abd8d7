//! The codebooks of the IQ types, fixed by the format: which values stand side by side.

use super::grids;

/// Of IQ1_S and IQ1_M: eight values each, the first in the lowest two bits. 0, 1 and 2 are -1, 0 and 1.
pub static IQ1: [u16; 2048] = entries(grids::IQ1);
/// Of IQ2_XXS: eight magnitudes each, the first in the lowest two bits. 0, 1 and 2 are 8, 25 and 43.
pub static IQ2_XXS: [u16; 256] = entries(grids::IQ2_XXS);
/// Of IQ2_XS, as [`IQ2_XXS`].
pub static IQ2_XS: [u16; 512] = entries(grids::IQ2_XS);
/// Of IQ2_S, as [`IQ2_XXS`].
pub static IQ2_S: [u16; 1024] = entries(grids::IQ2_S);
/// Of IQ3_XXS: four magnitudes each, the first in the lowest four bits. 0 to 7 are 4, 12, 20, 28, 36, 44, 52 and 62.
pub static IQ3_XXS: [u16; 256] = entries(grids::IQ3_XXS);
/// Of IQ3_S, as [`IQ3_XXS`], but 0 to 7 are the odd numbers from 1 to 15.
pub static IQ3_S: [u16; 512] = entries(grids::IQ3_S);

/// Half of the 8-bit float of NVFP4's scales: four bits of exponent and three of mantissa, without a sign. 127 means nothing and is 0.
pub const fn half_e4m3(byte: u8) -> f32 {
    let (exponent, mantissa) = (byte as u32 >> 3 & 15, byte as u32 & 7);
    match (byte, exponent) {
        (127, _) => 0.0,
        // 2^-10.
        (_, 0) => mantissa as f32 * f32::from_bits((127 - 10) << 23),
        _ => f32::from_bits((exponent + 127 - 8) << 23 | mantissa << 20),
    }
}

/// Entries of two bytes, low byte first, in hexadecimal.
const fn entries<const N: usize>(hex: &[u8]) -> [u16; N] {
    assert!(hex.len() == 4 * N, "four digits an entry");
    let (mut entries, mut i) = ([0; N], 0);
    while i < N {
        let (low, high) = (byte(hex, 4 * i), byte(hex, 4 * i + 2));
        entries[i] = low | high << 8;
        i += 1;
    }
    entries
}

const fn byte(hex: &[u8], at: usize) -> u16 {
    digit(hex[at]) << 4 | digit(hex[at + 1])
}

const fn digit(character: u8) -> u16 {
    match character {
        b'0'..=b'9' => (character - b'0') as u16,
        _ => (character - b'a') as u16 + 10,
    }
}
