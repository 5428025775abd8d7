//! The greatest numbers of rows and their sums, without the rows: as the reference takes them.

use gpu::Gpu;
use graph::testing::{uniform, upload};
use graph::{Backend, Batch, GraphBuilder, KvType, Limits, Op, OutputRow, Outputs, Top, WeightInfo, reduce};
use tensor::{DType, Shape};

/// Rows of a table, and their greatest numbers.
fn greatest(gpu: &Gpu, table: &[Vec<f32>], top: &[u32]) -> (Vec<f32>, u64) {
    let (width, mut graph) = (table[0].len(), GraphBuilder::new());
    let info = WeightInfo::matrix("x", Shape::matrix(table.len(), width), DType::F32);
    let weight = graph.weight(info);
    let rows = graph.push(Op::Embed { table: weight }, &[]).expect("a sound case");
    let rows = graph.push(Op::SelectOutputs, &[rows]).expect("a sound case");
    let graph = graph.finish("rows", rows).expect("a sound case");
    let bytes = table.iter().flatten().flat_map(|x| x.to_le_bytes()).collect();
    let (rows, kv_type) = (table.len(), KvType::F32);
    let limits = Limits { max_tokens: rows, max_outputs: rows, kv_blocks: 1, block_len: rows, kv_type, state_slots: 0 };
    let mut program = gpu.compile(&graph, upload(gpu, &graph, &[bytes]), limits).expect("memory");
    let mut batch = Batch { outputs: (0..rows as u32).collect(), top: top.to_vec(), ..Batch::default() };
    batch.push(&(0..rows as u32).collect::<Vec<_>>(), 0, [0]);
    gpu.run(&mut program, &batch).expect("a batch within limits");
    (gpu.download(&program).to_vec(), program.took().read)
}

#[test]
fn the_greatest_numbers_of_a_row() {
    let gpu = Gpu::open(0).expect("a GPU, or Debian's mesa-vulkan-drivers and libvulkan1");
    let mut random = 3;
    // Of few values, so that many are equal, or of many.
    let mut number = |few: bool| {
        let x = 9.0 * uniform(&mut random);
        if few { x.round() } else { x }
    };
    for width in [1, 5, 255, 4096, 4097, 20_000, 1_100_000] {
        let mut table: Vec<Vec<f32>> = (0..7).map(|row| (0..width).map(|_| number(row % 2 == 0)).collect()).collect();
        table[1].iter_mut().step_by(3).for_each(|x| *x = f32::NEG_INFINITY);
        table[2].iter_mut().for_each(|x| *x = if *x > 0.0 { -0.0 } else { 0.0 });
        table[3].fill(f32::NEG_INFINITY);
        table[4][width / 2] = f32::NAN;
        table[5][width - 1] = f32::INFINITY;
        let mosts = if width > 1 << 20 { vec![3] } else { vec![1, 3, 128] };
        for most in mosts.into_iter().map(|most: usize| most.min(width) as u32) {
            let top = [most, most.div_ceil(2), most, most, 1, most, 0];
            let (got, read) = greatest(&gpu, &table, &top);
            let mut wanted = vec![];
            table.iter().zip(top).for_each(|(row, top)| reduce(row, top as usize, &mut wanted));
            let [got_rows, wanted_rows] = [&got, &wanted].map(|numbers| Outputs::new(numbers, width, &top));
            assert_eq!(got.len(), wanted.len(), "{width} {most}");
            for (row, (got, wanted)) in got_rows.rows().zip(wanted_rows.rows()).enumerate() {
                same_row(got, wanted, &format!("row {row} of {width}, {most} wanted"));
            }
            assert_eq!(read, 4 * (width as u64 + 6 * (2 * u64::from(most) + 1)));
            // Neither who else is there nor what others want changes a bit.
            let (alone, _) = greatest(&gpu, &table[1..2], &[top[1]]);
            let OutputRow::Top(Top { log_sum, .. }) = got_rows.row(1) else { panic!("the greatest are wanted") };
            assert_eq!(alone[0].to_bits(), log_sum.to_bits(), "{width}");
        }
    }
}

/// The same numbers, but for rounding in the sum.
fn same_row(got: OutputRow<'_>, wanted: OutputRow<'_>, what: &str) {
    match (got, wanted) {
        (OutputRow::Top(got), OutputRow::Top(wanted)) if wanted.log_sum.is_nan() => {
            assert!(got.log_sum.is_nan(), "{what}: {}", got.log_sum);
        }
        (OutputRow::Top(got), OutputRow::Top(wanted)) => {
            assert_eq!((got.numbers, got.columns), (wanted.numbers, wanted.columns), "{what}");
            let off = (got.log_sum - wanted.log_sum).abs();
            assert!(off <= 1e-5, "{what}: {} where {} is right", got.log_sum, wanted.log_sum);
        }
        (got, wanted) => assert_eq!(got.whole(), wanted.whole(), "{what}"),
    }
}
