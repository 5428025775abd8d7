//! Importance matrices in both formats, against files by the PyPI package `gguf` (`cargo xtask goldens lab`).

mod support;

use lab::{Statistics, StatisticsFormat};
use support::{floats, path};

const PLAIN: &str = "blk.0.attn_q.weight";
const EXPERTS: &str = "blk.0.ffn_down_exps.weight";

/// What both files hold, as far as a format can say it.
fn check(name: &str, chunk_size: u32, unvisited: bool) {
    let statistics = Statistics::read(&path(name)).expect("it can be read");
    let expected = floats("imatrix.f32");
    let (plain, experts) = expected.split_at(32);
    let got = |weight: &str, matrix| statistics.entries[weight].mean_squares(matrix, 32);
    let near = |got: Option<Vec<f32>>, expected: &[f32]| {
        let got = got.expect("it was visited");
        assert!(graph::testing::difference(&got, expected) < 1e-6, "{name}: {got:?} instead of {expected:?}");
    };
    near(got(PLAIN, 0), plain);
    near(got(EXPERTS, 0), &experts[..32]);
    near(got(EXPERTS, 2), &experts[64..]);
    if unvisited {
        assert_eq!(got(EXPERTS, 1), None);
        assert_eq!(statistics.unvisited(), [(EXPERTS, vec![1])]);
    } else {
        near(got(EXPERTS, 1), &[1.0; 32]);
    }
    assert_eq!(got(EXPERTS, 3), None);
    assert_eq!((statistics.chunks, statistics.chunk_size), (4, chunk_size));
    assert_eq!(statistics.datasets.last().map(String::as_str), Some("code.txt"));
}

#[test]
fn files_of_both_formats_are_read() {
    check("imatrix.gguf", 512, true);
    check("imatrix.dat", 512, false);
}

#[test]
fn files_are_written_as_they_are_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let statistics = Statistics::read(&path("imatrix.gguf")).expect("it can be read");
    let file = folder.path().join("own.gguf");
    statistics.write(&file, StatisticsFormat::Gguf).expect("written");
    assert_eq!(Statistics::read(&file).expect("read again"), statistics);
    let file = folder.path().join("own.dat");
    statistics.write(&file, StatisticsFormat::Legacy).expect("written");
    let (own, expected) =
        (std::fs::read(&file).expect("a file"), std::fs::read(path("imatrix.dat")).expect("a fixture"));
    let [own, expected] = [own, expected].map(|bytes| {
        Statistics::read(&{
            let file = folder.path().join("again.dat");
            std::fs::write(&file, bytes).expect("written");
            file
        })
    });
    let (own, expected) = (own.expect("read"), expected.expect("read"));
    for (name, entry) in &expected.entries {
        let got = &own.entries[name];
        assert_eq!(got.counts, entry.counts, "{name}");
        assert!(graph::testing::difference(&got.sums, &entry.sums) < 1e-6, "{name}");
    }
    assert_eq!((own.datasets, own.chunks), (expected.datasets, expected.chunks));
}

#[test]
fn broken_files_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let check = |bytes: &[u8], part: &str| {
        let file = folder.path().join("broken");
        std::fs::write(&file, bytes).expect("written");
        let error = Statistics::read(&file).expect_err("it is broken").to_string();
        assert!(error.contains(part) && error.contains("broken"), "{error}");
    };
    let whole = std::fs::read(path("imatrix.dat")).expect("a fixture");
    check(&whole[..100], "only a part of one");
    check(b"", "fill whole buffer");
    check(&[255; 64], "no importance matrix");
    check(&[0; 64], "no statistics");
    let model = std::fs::read(path("imatrix.gguf")).expect("a fixture");
    check(&model[..model.len() / 2], "");
}

#[test]
fn matrices_that_files_have_as_one_share_statistics() {
    let mut statistics = Statistics::read(&path("imatrix.gguf")).expect("it can be read");
    let entry = statistics.entries[PLAIN].clone();
    statistics.entries.insert("blk.0.ffn_gate.weight".into(), entry.clone());
    let check = |tensor: &str, expected: bool| assert_eq!(statistics.of(tensor) == Some(&entry), expected, "{tensor}");
    check(PLAIN, true);
    check("blk.0.attn_qkv.weight", true);
    check("blk.0.ffn_up.weight", true);
    check("blk.1.attn_qkv.weight", false);
    check("blk.0.attn_k.weight", false);
}
