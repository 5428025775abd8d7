//! The codecs against the PyPI package `gguf` (fixtures by `cargo xtask goldens codecs`) and, for what it lacks, against ggml (`cargo
//! xtask goldens encoders`), and what must hold of any input.

use proptest::prelude::*;
use std::path::PathBuf;
use tensor::{CodecError, DType, decode, encode, encoder};

#[test]
fn decoders_agree_with_the_oracle_bit_for_bit() {
    for dtype in DType::all() {
        let blocks = fixture(&format!("{dtype}.blocks"));
        let expected = floats(&fixture(&format!("{dtype}.decoded")));
        let mut got = vec![0.0; expected.len()];
        decode(dtype, &blocks, &mut got).expect("the fixture is whole blocks");
        for (i, (got, expected)) in got.iter().zip(&expected).enumerate() {
            assert_eq!(got.to_bits(), expected.to_bits(), "{dtype} value {i}: {got:e}, expected {expected:e}");
        }
    }
}

/// The package `gguf` cannot encode these; ggml's own quantizers are their oracle (`cargo xtask goldens encoders`).
const BY_GGML: [DType; 8] =
    [DType::Q2_K, DType::Q3_K, DType::Q4_K, DType::Q5_K, DType::Q6_K, DType::IQ4_NL, DType::IQ4_XS, DType::MXFP4];

#[test]
fn encoders_agree_with_the_oracle_bit_for_bit() {
    let by_gguf = floats(&fixture("values.f32"));
    let by_ggml = floats(&fixture("values256.f32"));
    for dtype in DType::all().filter(|&dtype| encoder(dtype).is_some()) {
        let values = if BY_GGML.contains(&dtype) { &by_ggml } else { &by_gguf };
        let (got, expected) = (encoded(dtype, values), fixture(&format!("{dtype}.encoded")));
        let size =
            if by_row(dtype) { dtype.row_bytes(COLUMNS).expect("whole blocks") } else { dtype.layout().block_bytes };
        for (i, (got, expected)) in got.chunks(size).zip(expected.chunks(size)).enumerate() {
            // ggml leaves quants of its search where it has rounded their scale to zero: they say nothing.
            let same = got == expected || BY_GGML.contains(&dtype) && decoded(dtype, got) == decoded(dtype, expected);
            assert!(same, "{dtype} block {i}: {got:?} instead of {expected:?}");
        }
    }
}

#[test]
fn wrong_lengths_are_errors() {
    for dtype in DType::all() {
        let layout = dtype.layout();
        let (bytes, values) = (vec![0; layout.block_bytes * 2], layout.block_len);
        for (bytes, values) in [(&bytes[..], values), (&bytes[1..], values * 2), (&bytes[..], values * 2 + 1)] {
            let error = CodecError::Length { dtype, bytes: bytes.len(), values };
            assert_eq!(decode(dtype, bytes, &mut vec![0.0; values]), Err(error));
        }
    }
    let error = encode(DType::TQ2_0, &[0.0; 256], &mut [0; 66]).expect_err("there is no encoder");
    assert_eq!(error.to_string(), "TQ2_0 can be read, not written");
    let error = decode(DType::Q8_0, &[0; 33], &mut [0.0; 32]).expect_err("one byte is missing");
    assert_eq!(error.to_string(), "Q8_0: 33 bytes do not hold 32 values (blocks of 32 values in 34 bytes)");
    let error = decode(DType::Q8_ROW, &[0; 35], &mut [0.0; 32]).expect_err("one byte is missing");
    let blocks = "blocks of 32 values in 32 bytes, 4 more for each row";
    assert_eq!(error.to_string(), format!("Q8_ROW: 35 bytes do not hold 32 values ({blocks})"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// F32 keeps everything; decoding the narrow floats and encoding again gives the same bytes (but for NaNs).
    #[test]
    fn plain_types_round_trip(bits in prop::collection::vec(any::<u32>(), 1..600)) {
        let bytes: Vec<u8> = bits.iter().flat_map(|b| b.to_le_bytes()).collect();
        for dtype in [DType::F32, DType::F16, DType::BF16] {
            let mut values = vec![0.0; bytes.len() / dtype.layout().block_bytes];
            decode(dtype, &bytes, &mut values).expect("whole blocks");
            let again = encoded(dtype, &values);
            let width = dtype.layout().block_bytes;
            for (i, v) in values.iter().enumerate().filter(|(_, v)| !v.is_nan()) {
                prop_assert_eq!(&again[i * width..][..width], &bytes[i * width..][..width], "{} {}", dtype, v);
            }
        }
    }

    /// A quantized value lies within a step of the value; once quantized, quantizing again changes it by less than a step.
    #[test]
    fn quantized_types_stay_within_a_step(values in prop::collection::vec(-100.0f32..100.0, 96)) {
        let types = [(DType::Q8_0, 127.0), (DType::Q4_0, 8.0), (DType::Q4_1, 7.5), (DType::Q5_0, 16.0), (DType::Q5_1, 15.5)];
        for (dtype, levels) in types {
            let once = decoded(dtype, &encoded(dtype, &values));
            let twice = decoded(dtype, &encoded(dtype, &once));
            let step = 1.02 * values.iter().fold(0.0f32, |m, v| m.max(v.abs())) / levels;
            for ((a, b), c) in values.iter().zip(&once).zip(&twice) {
                prop_assert!((a - b).abs() <= step && (b - c).abs() <= step, "{} {} {} {}", dtype, a, b, c);
            }
        }
    }

    /// With one scale for a row no value is off by more than half a step, however large or small they are; integers that are there
    /// already stay what they are.
    #[test]
    fn rows_are_never_off_by_more_than_half_a_step(
        values in prop::collection::vec(-1.0f32..1.0, 128),
        exponent in -44i32..38,
    ) {
        let values: Vec<f32> = values.iter().map(|v| (f64::from(*v) * 10f64.powi(exponent)) as f32).collect();
        for cols in [32, 64, 128] {
            let (rows, dtype) = (values.len() / cols, DType::Q8_ROW);
            let mut bytes = vec![0; rows * dtype.row_bytes(cols).expect("whole blocks")];
            encode(dtype, &values, &mut bytes).expect("whole rows");
            let (mut once, mut again) = (vec![0.0; values.len()], bytes.clone());
            decode(dtype, &bytes, &mut once).expect("whole rows");
            encode(dtype, &once, &mut again).expect("whole rows");
            prop_assert!(exponent < -36 || bytes.iter().zip(&again).enumerate().all(|(i, (a, b))| i % (cols + 4) < 4 || a == b));
            for (row, decoded) in values.chunks(cols).zip(once.chunks(cols)) {
                let step = f64::from(row.iter().fold(0.0f32, |most, v| most.max(v.abs()))) / 127.0;
                // The smallest numbers there are have no halves, and a scale among them is off by half of one: 127 times in an element.
                let allowed = step * 0.5001 + 64.0 * f64::from(f32::from_bits(1));
                for (v, decoded) in row.iter().zip(decoded) {
                    prop_assert!((f64::from(*v) - f64::from(*decoded)).abs() <= allowed, "{v:e} {decoded:e} {step:e}");
                }
            }
        }
    }

    /// Any bytes decode without a panic.
    #[test]
    fn random_bytes_decode(seed in prop::collection::vec(any::<u8>(), 210)) {
        for dtype in DType::all() {
            let cols = 3 * dtype.layout().block_len;
            let bytes: Vec<u8> = seed.iter().copied().cycle().take(dtype.row_bytes(cols).expect("whole blocks")).collect();
            let mut values = vec![0.0; cols];
            prop_assert!(decode(dtype, &bytes, &mut values).is_ok());
        }
    }
}

/// Columns of the rows of fixtures, of types with something in front of each.
const COLUMNS: usize = 64;

fn by_row(dtype: DType) -> bool {
    dtype.layout().row_head > 0
}

fn encoded(dtype: DType, values: &[f32]) -> Vec<u8> {
    let rows = if by_row(dtype) { values.len() / COLUMNS } else { 1 };
    let mut bytes = vec![0; rows * dtype.row_bytes(values.len() / rows).expect("whole blocks")];
    encode(dtype, values, &mut bytes).expect("lengths agree");
    bytes
}

fn decoded(dtype: DType, bytes: &[u8]) -> Vec<f32> {
    let mut values = vec![0.0; dtype.elements(bytes.len(), COLUMNS)];
    decode(dtype, bytes, &mut values).expect("lengths agree");
    values
}

fn fixture(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
}
