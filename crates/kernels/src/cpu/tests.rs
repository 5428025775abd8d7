//! Every kernel of every instruction set that this machine has, against plain arithmetic.

use graph::{Activation, Backend, WeightInfo};
use half::{bf16, f16};
use proptest::prelude::*;
use tensor::{DType, Shape};

use super::codecs::{Decode, Unpack, Weights};
use super::memory::{Shared, SlabAllocator};
use super::ops::linear::{self, Product, ProductScratch, Slots};
use super::ops::rows::{Activate, Add, AddScaled, GaussianTopK, Glu, Mul, RmsNorm, Scale, SoftCap, UnitNorm};
use super::ops::{Input, activations_bf16, activations_q8};
use super::pool::Pool;
use super::simd::{Isa, Kernel, Line, Simd, Vector, exp, tanh};
use super::tiles::Tiles;
use super::weight::Weight;

#[path = "../../tests/support/tested.rs"]
mod tested;
use tested::is_tested;

fn vectors() -> impl Iterator<Item = Vector> {
    Isa::available().filter(|isa| is_tested(isa)).map(Vector::new)
}

/// A script that runs the tests for the sake of one instruction set names it, so that no other takes its place.
#[test]
fn the_instruction_set_that_is_meant_is_there() {
    if let Some(meant) = std::env::var_os("WHINCHAT_TESTED_ISA") {
        assert_eq!(*meant, *format!("{:?}", Isa::detect()));
    }
}

/// Numbers between -1 and 1.
fn random(seed: u64, n: usize) -> Vec<f32> {
    let mut state = seed;
    (0..n).map(|_| graph::testing::uniform(&mut state)).collect()
}

/// Random rows whose scales are of moderate size.
fn random_rows(dtype: DType, seed: u64, shape: Shape) -> Vec<u8> {
    graph::testing::random_rows(dtype, &mut { seed }, (shape.outer * shape.rows, shape.cols), 1.0)
}

fn close(got: &[f32], wanted: &[f32], tolerance: f32) {
    assert_eq!(got.len(), wanted.len());
    for (i, (&got, &wanted)) in got.iter().zip(wanted).enumerate() {
        assert!((got - wanted).abs() <= tolerance * wanted.abs().max(1.0), "{i}: {got}, wanted {wanted}");
    }
}

#[test]
fn tiles_decode_to_the_bits_of_the_scalar_codecs() {
    let pool = Pool::new(2, &[]);
    for dtype in DType::all() {
        let shape = Shape { outer: 2, rows: 21, cols: 3 * dtype.layout().block_len };
        let bytes = random_rows(dtype, 7, shape);
        let mut wanted = vec![0.0; 2 * 21 * shape.cols];
        tensor::decode(dtype, &bytes, &mut wanted).expect("whole blocks");
        let tiles = Tiles::pack((&pool, &SlabAllocator::default()), dtype, shape, &bytes).expect("memory");
        for (vector, matrix, row) in vectors().flat_map(|v| (0..2).flat_map(move |m| (0..21).map(move |r| (v, m, r)))) {
            let (mut out, mut scratch) = (vec![0.0; shape.cols], ProductScratch::new().expect("memory"));
            scratch.decode(vector, &tiles, (matrix, row), &mut out);
            let wanted = &wanted[(matrix * 21 + row) * shape.cols..][..shape.cols];
            let same = out.iter().zip(wanted).all(|(x, wanted)| x.to_bits() == wanted.to_bits());
            assert!(same, "{dtype} {:?}, matrix {matrix}, row {row}", vector.isa());
        }
    }
}

/// What a later start maps is what this one packed, in every type.
#[cfg(not(miri))]
#[test]
fn packed_weights_come_back_from_a_file() {
    let cpu = super::Cpu::new(super::CpuOptions { threads: Some(2), ..super::CpuOptions::default() });
    let (mut bytes, mut places) = (Vec::new(), Vec::new());
    for dtype in DType::all() {
        let shape = Shape { outer: 2, rows: 21, cols: 2 * dtype.layout().block_len };
        let given = random_rows(dtype, 9, shape);
        for info in [WeightInfo::matrix("a", shape, dtype), WeightInfo::elements("b", shape, dtype)] {
            let weight = cpu.upload(&info, &given).expect("memory");
            let start = bytes.len();
            bytes.extend(weight.packed());
            places.push((info, weight, start..bytes.len()));
            bytes.resize(bytes.len().next_multiple_of(64), 0);
        }
    }
    let mut file = tempfile::tempfile().expect("a file");
    std::io::Write::write_all(&mut file, &bytes).expect("written");
    let file = super::PackedFile::map(&file).expect("it maps");
    for (info, weight, place) in places {
        let mapped = Weight::mapped(&info, &file, &place).expect("it fits");
        assert!(
            mapped.packed() == weight.packed() && mapped.bytes() == weight.bytes(),
            "{} {:?}",
            info.dtype,
            info.role
        );
        Weight::check(Some(&mapped), &info).expect("it is what was declared");
        let longer = WeightInfo { shape: Shape { rows: 40, ..info.shape }, ..info.clone() };
        assert!(Weight::mapped(&longer, &file, &place).is_none(), "{} {:?}", info.dtype, info.role);
    }
}

/// What a matrix unit multiplies.
#[test]
fn signed_bytes_times_their_scales_are_the_elements() {
    let pool = Pool::new(1, &[]);
    for dtype in DType::all() {
        let shape = Shape::matrix(16, 256);
        let bytes = random_rows(dtype, 8, shape);
        let mut wanted = vec![0.0; 16 * 256];
        tensor::decode(dtype, &bytes, &mut wanted).expect("whole blocks");
        let tiles = Tiles::pack((&pool, &SlabAllocator::default()), dtype, shape, &bytes).expect("memory");
        let form = tiles.layout.form;
        if form.zero == 0 {
            continue;
        }
        for vector in vectors().filter(|vector| !matches!(vector.isa(), Isa::Avx2 | Isa::Neon)) {
            let mut out = Weights::ZERO;
            Unpack { dtype, columns: tiles.columns(0, 0, 0..256), signed: true, out: &mut out }.with(vector);
            for (i, wanted) in wanted.iter().enumerate() {
                let (row, column) = (i / 256, i % 256);
                let byte = out.bytes[column / 4].as_flattened()[4 * row + column % 4] as i8;
                let got = out.scales[column / 4 / form.lines].0[row] * f32::from(byte);
                assert_eq!(got, *wanted, "{dtype} {:?}, row {row}, column {column}", vector.isa());
            }
        }
    }
}

#[test]
fn every_half_precision_number_is_widened_exactly() {
    let pool = Pool::new(1, &[]);
    let all: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
    let tiles =
        Tiles::pack((&pool, &SlabAllocator::default()), DType::F16, Shape::matrix(16, 4096), &all).expect("memory");
    for vector in vectors() {
        let mut out = vec![Line::default(); 4096];
        vector.run(Decode { dtype: DType::F16, columns: tiles.tiles(0, 0, 1), out: &mut out });
        for bits in 0..=u16::MAX {
            let (got, wanted) = (out[bits as usize % 4096].0[bits as usize / 4096], f16::from_bits(bits).to_f32());
            let same = got.to_bits() == wanted.to_bits() || (got.is_nan() && wanted.is_nan());
            assert!(same, "{bits:#x} {:?}: {got}, wanted {wanted}", vector.isa());
        }
    }
}

/// Rows `slots` of x times one of two matrices, cut into tasks of `tiles`.
fn product(vector: Vector, tiles: &Tiles, x: &[f32], slots: Slots, cut: usize) -> Vec<f32> {
    let (cols, mut activations) = (tiles.shape.cols, vec![0.0; 2 * x.len()]);
    let (mut scratch, mut out) = (ProductScratch::new().expect("memory"), vec![0.0; x.len() / cols * tiles.shape.rows]);
    let x = Input { x, width: cols, rows: x.len() / cols, rounded: false };
    let x = linear::rounded((&Pool::new(1, &[]), vector), tiles, x, &mut activations);
    let product = Product { tiles, matrix: 1, x, width: cols, slots, share: 1, inner: Default::default() };
    for first in (0..tiles.count()).step_by(cut) {
        product.write(vector, &mut scratch, &(first..(first + cut).min(tiles.count())), Shared::new(&mut out));
    }
    out
}

/// Numbers rounded to 8 bits, `span` of them together.
fn rounded(x: &[f32], span: usize) -> Vec<f32> {
    let block = |x: &[f32]| {
        let largest = x.iter().fold(0.0, |a: f32, x| a.max(x.abs()));
        let by = if largest > 0.0 { 127.0 / largest } else { 0.0 };
        x.iter().map(|x| (x * by).round_ties_even() * (largest / 127.0)).collect::<Vec<_>>()
    };
    x.chunks(span).flat_map(block).collect()
}

#[test]
fn rows_are_rounded_to_eight_bits() {
    let mut x: Vec<f32> = random(9, 960).iter().enumerate().map(|(i, x)| x * (i / 32) as f32).collect();
    x[40..44].copy_from_slice(&[127.0, 0.5, -1.5, -127.0]);
    for vector in vectors() {
        let mut words = vec![0.0; 2 * activations_q8::words(480)];
        activations_q8::quantize((&Pool::new(2, &[]), vector), &x, (480, 32), &mut words);
        for (i, wanted) in rounded(&x, 32).chunks(480).enumerate() {
            for (k, wanted) in wanted.chunks(32).enumerate() {
                let block = activations_q8::blocks(&words)[activations_q8::start(480, 480, i) + k];
                let byte = |b: u8| f32::from(b as i8);
                let bytes: Vec<f32> = block[..8].iter().flat_map(|q| q.to_le_bytes()).map(byte).collect();
                let got: Vec<f32> = bytes.iter().map(|b| b * block[8]).collect();
                assert_eq!(got, wanted, "{:?}", vector.isa());
                let sums = [&bytes, &bytes[..16], &bytes[16..]].map(|bytes| bytes.iter().sum::<f32>());
                assert_eq!(
                    block[9..12].iter().map(|x| x.to_bits() as i32 as f32).collect::<Vec<_>>(),
                    sums.map(|x| -128.0 * x)
                );
                assert_eq!(block[12..15], sums.map(|sum| -(block[8] * sum)));
                assert_eq!(block[15].to_bits() as i32 as f32, -8.0 * sums[0]);
            }
        }
    }
}

fn check_product(dtype: DType, (rows, blocks, n): (usize, usize, usize), seed: u64) {
    let shape = Shape { outer: 2, rows, cols: blocks * dtype.layout().block_len };
    let bytes = random_rows(dtype, seed, shape);
    let mut weights = vec![0.0; 2 * rows * shape.cols];
    tensor::decode(dtype, &bytes, &mut weights).expect("whole blocks");
    let largest = weights.iter().fold(0.0, |a: f32, b| a.max(b.abs()));
    let tiles = Tiles::pack((&Pool::new(1, &[]), &SlabAllocator::default()), dtype, shape, &bytes).expect("memory");
    let x = random(seed + 1, n * shape.cols);
    let matrix = &weights[rows * shape.cols..];
    let dot = |x: &[f32], w: &[f32]| x.iter().zip(w).map(|(&x, &w)| f64::from(x) * f64::from(w)).sum::<f64>() as f32;
    for vector in vectors() {
        let read = match () {
            () if tiles.quantized() => rounded(&x, tiles.span()),
            () if activations_bf16::suit(vector, &tiles) => x.iter().map(|&x| bf16::from_f32(x).to_f32()).collect(),
            () => x.clone(),
        };
        let wanted: Vec<f32> = read
            .chunks(shape.cols)
            .flat_map(|x| matrix.chunks(shape.cols).map(move |w| dot(x, w) / (largest * (shape.cols as f32).sqrt())))
            .collect();
        let got = product(vector, &tiles, &x, Slots::All(n), 8);
        let scaled: Vec<f32> = got.iter().map(|y| y / (largest * (shape.cols as f32).sqrt())).collect();
        close(&scaled, &wanted, 1e-5);
        let backwards: Vec<u32> = (0..n as u32).rev().collect();
        let again = product(vector, &tiles, &x, Slots::Some(&backwards), 3);
        let alone: Vec<f32> =
            (0..n as u32).map(|i| product(vector, &tiles, &x, Slots::Some(&[i]), 1)).fold(vec![], |all, one| {
                if all.is_empty() { one } else { all.iter().zip(&one).map(|(a, b)| a + b).collect() }
            });
        assert_eq!(got, again, "{dtype} {:?}: rows in another order and cut", vector.isa());
        assert_eq!(got, alone, "{dtype} {:?}: rows alone", vector.isa());
    }
}

#[test]
fn products_are_right_and_do_not_depend_on_the_batch() {
    for dtype in DType::all() {
        check_product(dtype, (37, 3, 15), 11);
        check_product(dtype, (37, 9, 70), 12);
    }
    check_product(DType::F32, (203, 600, 150), 3);
    check_product(DType::BF16, (203, 600, 150), 3);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn products_of_any_shape(rows in 1usize..70, blocks in 1usize..40, n in 1usize..100, kind in 0usize..3) {
        check_product([DType::F16, DType::BF16, DType::Q4_0][kind], (rows, blocks, n), 5);
    }
}

/// What operations give where machines would differ if they were not told.
struct Edges;

impl Kernel for Edges {
    type Output = Vec<[u32; 16]>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Vec<[u32; 16]> {
        let (nan, huge) = (f32::NAN, f32::INFINITY);
        let a = s.load(&[nan, 1.0, nan, huge, -huge, 0.0, -0.0, 1e-40, 2.0, -3.0, 7.0, -7.0, 1.0, 4.0, -huge, 0.5]);
        let b = s.load(&[2.0, nan, nan, 1.0, 1.0, -0.0, 0.0, 2e-40, 2.0, -4.0, -7.0, 7.0, nan, huge, nan, nan]);
        let halves = [0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 126.5, -127.5, 0.49, -0.51, 3.0, -128.0, 127.0, 0.0, -0.0, 1e-3];
        let bytes: [[u8; 16]; 4] = std::array::from_fn(|i| std::array::from_fn(|j| (37 * (16 * i + j) + 5) as u8));
        let (i, few) = (s.bytes(&bytes), s.and(s.bytes(&bytes), s.splat_int(0x0f0f_0f0f)));
        let table: [u32; 32] = std::array::from_fn(|i| 0x89ab_cdef << (i % 4) ^ i as u32);
        let (most, least) = (s.splat_int(-1), s.splat_int(i32::from_le_bytes([129; 4])));
        let signed = [s.round(s.load(&halves)), s.signed(&bytes[0]), s.unsigned(&bytes[1])];
        let shifted = [1, 4, 7, 16, 31].into_iter().flat_map(|by| [s.shl(i, by), s.sar(i, by), s.shr(i, by)]);
        let products = [(most, least, true), (most, few, true), (i, few, true), (few, least, false), (few, few, false)];
        let products = products.into_iter().map(|(u, x, wide)| s.dot(i, u, x, wide));
        let edge = s.splat_int(i32::from_le_bytes([128; 4]));
        let signed_products = [(i, few), (edge, least), (edge, few), (least, least), (few, least)];
        let products = products.chain(signed_products.into_iter().map(|(w, x)| s.dot_signed(i, w, x)));
        let integers = signed
            .into_iter()
            .chain([s.lookup(&bytes[1], few), s.gather(&table, i)])
            .chain(shifted)
            .chain(products)
            .map(|x| words(s, x));
        let numbers = [s.min(a, b), s.min(b, a), s.max(a, b), s.max(b, a), s.float(i), s.with_bits(i)];
        let numbers = numbers.into_iter().map(|x| lanes(s, x).map(f32::to_bits));
        let largest = [s.largest(s.load(&halves)), s.largest(s.splat(huge))].map(|x| [x.to_bits(); 16]);
        let sums = bytes.map(|bytes| [s.sum(bytes) as u32; 16]);
        let narrow = s.narrow(s.signed(&bytes[2])).map(u32::from);
        integers.chain(numbers).chain(largest).chain(sums).chain([narrow]).collect()
    }
}

#[inline(always)]
fn words<S: Simd>(s: S, x: S::I) -> [u32; 16] {
    let mut bytes = [[0; 16]; 4];
    s.store_bytes(&mut bytes, x);
    std::array::from_fn(|i| u32::from_le_bytes(bytes.as_flattened().as_chunks().0[i]))
}

#[inline(always)]
fn lanes<S: Simd>(s: S, x: S::F) -> [f32; 16] {
    let mut numbers = [0.0; 16];
    s.store(&mut numbers, x);
    numbers
}

#[test]
fn operations_are_alike_at_their_edges() {
    let portable = Vector::new(Isa::Portable).run(Edges);
    for vector in vectors() {
        for (i, (got, wanted)) in vector.run(Edges).into_iter().zip(&portable).enumerate() {
            assert_eq!(got, *wanted, "{i} {:?}", vector.isa());
        }
    }
}

/// Runs `f` on vectors of x.
struct Map<'a>(&'a mut [f32; 16], bool);

impl Kernel for Map<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let x = s.load(self.0);
        let y = if self.1 { exp(s, x) } else { tanh(s, x) };
        s.store(self.0, y);
    }
}

#[test]
fn exp_and_tanh_are_accurate() {
    for vector in vectors() {
        for i in -880..883 {
            let x = i as f32 * 0.1 + 0.037;
            let (mut e, mut t) = ([x; 16], [x; 16]);
            vector.run(Map(&mut e, true));
            vector.run(Map(&mut t, false));
            let wanted = f64::from(x).exp();
            let tiny = x < -87.0;
            assert!((f64::from(e[3]) - wanted).abs() <= if tiny { 1e-37 } else { wanted * 3e-7 }, "exp {x}: {}", e[3]);
            assert!((t[5] - x.tanh()).abs() < 3e-7, "tanh {x}: {}", t[5]);
        }
        let mut edges = [f32::NEG_INFINITY, f32::INFINITY, f32::NAN, 0.0].repeat(4).try_into().expect("16");
        vector.run(Map(&mut edges, true));
        assert_eq!((edges[0], edges[1], edges[3]), (0.0, f32::INFINITY, 1.0));
        assert!(edges[2].is_nan());
    }
}

/// Plain forms of the activations, in double precision.
fn activation(act: Activation, gate: f32, up: f32) -> f32 {
    let (g, u) = (f64::from(gate), f64::from(up));
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let y = match act {
        Activation::Silu => g * sigmoid(g) * u,
        Activation::Sigmoid => sigmoid(g) * u,
        Activation::Relu => g.max(0.0) * u,
        Activation::SquaredRelu => g.max(0.0).powi(2) * u,
        Activation::Xielu { square, exponential, linear } => {
            let [square, exponential, linear] = [square, exponential, linear].map(f64::from);
            let curve = if g > 0.0 { square * g * g } else { exponential * (g.exp_m1() - g) };
            (linear * g + curve) * u
        }
        Activation::Softplus => (1.0 + g.exp()).ln() * u,
        Activation::GeluTanh => 0.5 * g * (1.0 + (0.797_884_560_802_865_4 * (g + 0.044715 * g * g * g)).tanh()) * u,
        Activation::ClampedSilu { alpha, limit } => {
            let (g, limit) = (g.min(f64::from(limit)), f64::from(limit));
            g * sigmoid(f64::from(alpha) * g) * (u.clamp(-limit, limit) + 1.0)
        }
        // x · Φ(x), by Simpson's rule.
        Activation::GeluErf => {
            let density = |t: f64| (-0.5 * t * t).exp() / std::f64::consts::TAU.sqrt();
            let (n, mut sum) = (2000, density(0.0) + density(g));
            for i in 1..n {
                sum += density(g * f64::from(i) / f64::from(n)) * if i % 2 == 1 { 4.0 } else { 2.0 };
            }
            g * (0.5 + sum * g / f64::from(n) / 3.0) * u
        }
    };
    y as f32
}

#[test]
fn rows_are_right_at_every_width() {
    for (vector, n) in vectors().flat_map(|v| [1, 15, 16, 48, 80, 203].map(|n| (v, n))) {
        let (x, y): (Vec<f32>, Vec<f32>) = (random(1, n).iter().map(|x| x * 9.0).collect(), random(2, n));
        let check = |run: &dyn Fn(&mut [f32]), wanted: &dyn Fn(usize) -> f32| {
            let mut got = x.clone();
            run(&mut got);
            close(&got, &(0..n).map(wanted).collect::<Vec<_>>(), 2e-6);
        };
        check(&|x| vector.run(Add { x, y: &y }), &|i| x[i] + y[i]);
        check(&|x| vector.run(Mul { x, y: &y }), &|i| x[i] * y[i]);
        check(&|x| vector.run(AddScaled { x, y: &y, by: 0.3 }), &|i| x[i] + 0.3 * y[i]);
        check(&|x| vector.run(Scale { x, by: 0.3 }), &|i| x[i] * 0.3);
        check(&|x| vector.run(SoftCap { x, cap: 5.0 }), &|i| 5.0 * (x[i] / 5.0).tanh());
        let mean = x.iter().map(|x| x * x).sum::<f32>() / n as f32;
        check(&|x| vector.run(RmsNorm { x, weight: &y, eps: 0.1 }), &|i| x[i] / (mean + 0.1).sqrt() * y[i]);
        check(&|x| vector.run(UnitNorm { x, span: n, eps: 0.1 }), &|i| x[i] / (mean + 0.1).sqrt());
        let mean = x.iter().sum::<f32>() / n as f32;
        let deviation = (x.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / n as f32).sqrt();
        check(&|x| vector.run(GaussianTopK { x, deviations: 0.6 }), &|i| (x[i] - mean - 0.6 * deviation).max(0.0));
        let clamped = Activation::ClampedSilu { alpha: 1.702, limit: 0.7 };
        let xielu = Activation::Xielu { square: 0.3, exponential: 0.7, linear: 0.5 };
        let plain = [Activation::Silu, Activation::Sigmoid, Activation::GeluTanh, Activation::GeluErf];
        for act in
            [&plain[..], &[Activation::Relu, Activation::SquaredRelu, Activation::Softplus, xielu, clamped]].concat()
        {
            check(&|gate| vector.run(Glu { act, gate, up: &y }), &|i| activation(act, x[i], y[i]));
            if act != clamped {
                check(&|x| vector.run(Activate { act, x }), &|i| activation(act, x[i], 1.0));
            }
        }
    }
}

/// Sums of integers are scaled after some columns: rows of many times as many, and of a few more.
#[test]
fn products_by_rows_of_any_length() {
    for (rows, blocks, n) in [(16, 16, 1), (33, 17, 2), (50, 48, 7), (37, 33, 16), (70, 40, 17), (5, 100, 300)] {
        check_product(DType::Q8_ROW, (rows, blocks, n), 21);
    }
}

/// The largest products that there are, all of one sign: sums of integers stay exact.
#[test]
fn sums_of_the_largest_products_are_exact() {
    let (cols, pool) = (53_248, Pool::new(1, &[]));
    let shape = Shape { outer: 2, rows: 16, cols };
    for (weight, x) in [(-128i8, 1.0f32), (-128, -1.0), (127, 1.0), (127, -1.0)] {
        let row = [&1f32.to_le_bytes()[..], &vec![weight.cast_unsigned(); cols]].concat();
        let tiles =
            Tiles::pack((&pool, &SlabAllocator::default()), DType::Q8_ROW, shape, &row.repeat(32)).expect("memory");
        for vector in vectors() {
            let got = product(vector, &tiles, &vec![127.0 * x; cols], Slots::All(1), 1);
            assert_eq!(got, [f32::from(weight) * 127.0 * x * cols as f32; 16], "{:?}", vector.isa());
        }
    }
}

/// Whole rows become the integers and scales that numpy makes of them (`cargo xtask goldens codecs`).
#[test]
fn whole_rows_are_rounded_as_numpy_rounds_them() {
    let values = include_bytes!("../../../tensor/tests/data/values.f32");
    let x: Vec<f32> = values.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let wanted = include_bytes!("../../../tensor/tests/data/Q8_ROW.encoded");
    for vector in vectors() {
        let mut words = vec![0.0; x.len() / 64 * activations_q8::words(64)];
        activations_q8::quantize((&Pool::new(2, &[]), vector), &x, (64, 64), &mut words);
        let mut sums = vec![];
        for (i, row) in wanted.chunks(68).enumerate() {
            let (scale, integers) = row.split_first_chunk().expect("a scale in front of its row");
            for (k, integers) in integers.chunks(32).enumerate() {
                let block = activations_q8::blocks(&words)[activations_q8::start(64, 64, i) + k];
                let got: Vec<u8> = block[..8].iter().flat_map(|quad| quad.to_le_bytes()).collect();
                assert_eq!((&got[..], block[8].to_le_bytes()), (integers, *scale), "{:?}, row {i}", vector.isa());
                sums.push(integers.iter().map(|q| i32::from(q.cast_signed())).sum::<i32>());
                assert_eq!(block[9].to_bits().cast_signed(), -128 * sums[2 * i + k], "{:?}, row {i}", vector.isa());
            }
        }
        assert_eq!(sums.len(), 2 * x.len() / 64);
    }
    for broken in [f32::NAN, f32::INFINITY] {
        let mut x = vec![0.5; 96];
        x[70..].fill(broken);
        for vector in vectors() {
            let mut words = vec![0.0; activations_q8::words(96)];
            activations_q8::quantize((&Pool::new(1, &[]), vector), &x, (96, 96), &mut words);
            assert!(
                activations_q8::blocks(&words).iter().all(|block| !block[8].is_finite()),
                "{:?} {broken}",
                vector.isa()
            );
        }
    }
}
