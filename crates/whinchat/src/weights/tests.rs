//! Weights that are kept, mapped and shared, and files that must not be used.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kernels::{Cpu, CpuOptions, Isa, Weight};
use model::{Checkpoint, WeightType};
use tempfile::TempDir;

use super::index::Index;
use super::{Brought, Wanted, WeightsCache, WeightsOrigin, place};

/// A model of these weights in a folder of its own.
struct Scene {
    folder: TempDir,
    model: PathBuf,
}

impl Scene {
    fn new(weights: &str) -> Scene {
        let folder = tempfile::tempdir().expect("a folder");
        let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/tiny");
        let model = folder.path().join("model.gguf");
        let options = lab::ConvertOptions {
            weights: WeightType::parse(weights).expect("a type"),
            ..lab::ConvertOptions::new(&model)
        };
        lab::convert(&Checkpoint::open(&tiny).expect("it opens"), &options, &|_, _, _| {}).expect("it converts");
        Scene { folder, model }
    }

    fn cache(&self) -> WeightsCache {
        WeightsCache::Folder(self.folder.path().join("cache"))
    }

    /// The files in the cache.
    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder.path().join("cache")).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    }

    /// The one file in the cache.
    fn file(&self) -> PathBuf {
        let [file] = &self.files()[..] else { panic!("{:?}", self.files()) };
        file.clone()
    }

    fn bring(&self, cache: &WeightsCache) -> Brought {
        self.with(cache, |wanted, cpu| wanted.bring(cpu, &|_, _, _| {}).expect("it is sound"))
    }

    fn shared_bytes(&self) -> u64 {
        self.with(&WeightsCache::Off, |wanted, _| wanted.shared_bytes())
    }

    fn with<T>(&self, cache: &WeightsCache, then: impl FnOnce(&Wanted, &Cpu) -> T) -> T {
        let checkpoint = Checkpoint::open(&self.model).expect("it opens");
        let model = checkpoint.bind(None).expect("it binds");
        let cpu = Cpu::new(CpuOptions { threads: Some(2), ..CpuOptions::default() });
        then(&Wanted { checkpoint: &checkpoint, model: &model, graph: model.graph(), cache, available: None }, &cpu)
    }

    /// Brings the weights by the cache: gives how they came, and every bit of them. They are gone then.
    fn start(&self) -> (&'static str, Vec<Vec<u8>>) {
        let brought = self.bring(&self.cache());
        (said(&brought.origin), bits(&brought))
    }

    /// Every bit of weights that no file has packed.
    fn packed(&self) -> Vec<Vec<u8>> {
        bits(&self.bring(&WeightsCache::Off))
    }
}

fn bits(brought: &Brought) -> Vec<Vec<u8>> {
    brought.all.iter().map(|held| [held.weight.packed(), &held.sample[..]].concat()).collect()
}

fn said(origin: &WeightsOrigin) -> &'static str {
    match origin {
        WeightsOrigin::Packed => "packed",
        WeightsOrigin::Kept { .. } => "kept",
        WeightsOrigin::NotKept(_) => "not kept",
        WeightsOrigin::Mapped { .. } => "mapped",
        WeightsOrigin::Shared => "shared",
        WeightsOrigin::Elsewhere => "elsewhere",
    }
}

#[test]
fn what_is_mapped_is_what_would_be_packed() {
    for weights in ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q5_1", "Q4_K_M", "Q6_K"] {
        let scene = Scene::new(weights);
        let packed = scene.packed();
        assert_eq!(scene.start(), ("kept", packed.clone()), "{weights}");
        assert_eq!(scene.start(), ("mapped", packed), "{weights}");
        assert!(scene.file().to_string_lossy().ends_with(".packed"));
    }
}

#[test]
fn what_is_damaged_or_for_others_is_made_anew() {
    let scene = Scene::new("Q8_0");
    let (_, packed) = scene.start();
    let file = scene.file();
    let sound = fs::read(&file).expect("it is there");
    let index_at = sound.len() - 64 - u64::from_le_bytes(*sound[sound.len() - 40..].first_chunk().expect("8")) as usize;
    let check = |damage: &dyn Fn(&mut Vec<u8>), what: &str| {
        let mut bytes = sound.clone();
        damage(&mut bytes);
        fs::write(&file, bytes).expect("it is written");
        assert_eq!(scene.start(), ("kept", packed.clone()), "{what}");
        assert_eq!(scene.start(), ("mapped", packed.clone()), "{what}");
    };
    for at in [
        0,
        100,
        index_at / 2,
        index_at,
        index_at + 50,
        sound.len() - 60,
        sound.len() - 44,
        sound.len() - 40,
        sound.len() - 1,
    ] {
        check(&|bytes| bytes[at] ^= 4, &format!("byte {at} of {}", sound.len()));
    }
    for len in [0, 1, 63, 64, index_at, index_at + 64, sound.len() - 1] {
        check(&|bytes| bytes.truncate(len), &format!("cut to {len} bytes"));
    }
    check(&|bytes| bytes.push(0), "a byte more");
    check(&|bytes| bytes.fill(0), "only zeros");
    let with_index = |change: &dyn Fn(&mut Index)| {
        let mut index = Index::of(&sound).expect("an index");
        change(&mut index);
        [&sound[..index_at], &index.to_bytes(index_at as u64).expect("JSON")].concat()
    };
    let packing = Weight::packing(if Isa::detect() == Isa::Portable { Isa::Avx2 } else { Isa::Portable });
    check(&|bytes| *bytes = with_index(&|index| index.made_of.packing = packing.clone()), "another instruction set");
    check(&|bytes| *bytes = with_index(&|index| index.made_of.version = "0.0.0".into()), "another version");
    check(&|bytes| *bytes = with_index(&|index| index.weights[0].start = usize::MAX), "a place beyond the file");
    check(&|bytes| *bytes = with_index(&|index| index.weights[1].bytes = usize::MAX), "a weight beyond the file");
    check(&|bytes| *bytes = with_index(&|index| index.weights[1].checks.push(0)), "another checksum");
    // A weight that is sound and not what is wanted is packed, and the others are mapped.
    let lies = with_index(&|index| (index.weights[2].bytes, index.weights[2].checks) = (0, vec![]));
    fs::write(&file, lies).expect("it is written");
    assert_eq!(scene.start(), ("mapped", packed));
}

#[test]
fn the_content_counts_and_not_the_time() {
    let scene = Scene::new("F16");
    let (_, packed) = scene.start();
    let file = scene.file();
    let size = || fs::metadata(&file).expect("it is there").len();
    let model = || File::options().write(true).open(&scene.model).expect("it opens");
    let modified = model().metadata().and_then(|found| found.modified()).expect("a time");
    // Touched, or copied: the content is compared once.
    let before = size();
    model().set_modified(modified + std::time::Duration::from_secs(5)).expect("a time");
    assert_eq!(scene.start(), ("mapped", packed.clone()));
    let confirmed = size();
    assert!(confirmed > before, "{confirmed} {before}");
    assert_eq!(scene.start(), ("mapped", packed.clone()));
    assert_eq!(size(), confirmed);
    // Other weights of the same length: with another time, and with the time of those that are kept.
    let checkpoint = Checkpoint::open(&scene.model).expect("it opens");
    let tensor = checkpoint.tensors().iter().find(|tensor| tensor.dims.len() > 1).expect("a matrix");
    let bytes = checkpoint.bytes(tensor);
    let middle = bytes[bytes.len() / 2..][..64].to_vec();
    drop(checkpoint);
    let whole = fs::read(&scene.model).expect("it is there");
    let at = whole.windows(64).position(|window| window == middle).expect("the tensor is in it");
    for byte in [1, 2] {
        let mut other = whole.clone();
        other[at] ^= byte;
        fs::write(&scene.model, other).expect("written");
        model().set_modified(modified + std::time::Duration::from_secs(9)).expect("a time");
        let fresh = scene.packed();
        assert_ne!(fresh, packed);
        assert_eq!(scene.start(), ("kept", fresh.clone()));
        assert_eq!(scene.start(), ("mapped", fresh));
    }
}

#[test]
fn models_of_one_file_have_its_weights_once() {
    let scene = Scene::new("Q4_0");
    let all = scene.with(&WeightsCache::Off, |wanted, _| {
        wanted.graph.weights().iter().map(|info| info.bytes().expect("a size") as u64).sum::<u64>()
    });
    for cache in [WeightsCache::Off, scene.cache(), scene.cache()] {
        assert_eq!(scene.shared_bytes(), 0, "{cache:?}");
        let first = scene.bring(&cache);
        let second = scene.bring(&cache);
        assert_eq!(said(&second.origin), "shared", "{cache:?}");
        let same = first.all.iter().zip(&second.all).all(|(a, b)| Arc::ptr_eq(&a.weight, &b.weight));
        assert!(same && first.all.len() == second.all.len());
        assert_eq!(scene.shared_bytes(), all, "{cache:?}");
        let prepared =
            crate::prepare(Checkpoint::open(&scene.model).expect("it opens"), &crate::LoadOptions::default());
        assert_eq!(prepared.expect("it is sound").memory.shared_weights, all);
        // The file under another name is the same; a copy is not.
        let (link, copy) = (scene.folder.path().join("link.gguf"), scene.folder.path().join("copy.gguf"));
        let _ = fs::remove_file(&link);
        fs::hard_link(&scene.model, &link).expect("a link");
        fs::copy(&scene.model, &copy).expect("a copy");
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(Scene { folder, model: link }.shared_bytes(), all);
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(Scene { folder, model: copy }.shared_bytes(), 0);
        drop(first);
        assert_eq!(scene.shared_bytes(), all, "{cache:?}");
    }
}

#[test]
fn while_another_process_writes_nothing_is_kept() {
    let scene = Scene::new("Q8_0");
    let (_, packed) = scene.start();
    let mut partial = scene.file().into_os_string();
    fs::remove_file(scene.file()).expect("it is there");
    partial.push(".part");
    // What a process left that was killed: nobody has a lock on it.
    fs::write(&partial, vec![1; 1 << 20]).expect("written");
    let other = File::options().write(true).open(&partial).expect("it opens");
    other.lock().expect("a lock");
    assert_eq!(scene.start(), ("packed", packed.clone()));
    drop(other);
    assert_eq!(scene.start(), ("kept", packed.clone()));
    assert_eq!(scene.start(), ("mapped", packed));
    assert_eq!(scene.files().len(), 1, "{:?}", scene.files());
}

#[test]
fn a_folder_that_cannot_be_written_is_no_error() {
    let scene = Scene::new("Q8_0");
    let folder = scene.model.join("under a file");
    let brought = scene.bring(&WeightsCache::Folder(folder.clone()));
    let WeightsOrigin::NotKept(why) = &brought.origin else { panic!("{:?}", brought.origin) };
    assert!(why.starts_with(&folder.display().to_string()), "{why}");
}

#[test]
fn small_models_are_kept_only_if_that_is_asked_for() {
    let scene = Scene::new("Q8_0");
    assert_eq!(said(&scene.bring(&WeightsCache::Auto).origin), "packed");
    let brought = scene.bring(&WeightsCache::On);
    let isa = format!("{:?}", Isa::detect()).to_lowercase();
    let beside = scene.folder.path().join(format!("model.gguf.{isa}.packed"));
    let bytes = fs::metadata(&beside).expect("it is there").len();
    assert_eq!(brought.origin, WeightsOrigin::Kept { path: beside.clone(), bytes });
    drop(brought);
    // It is no model, and Auto uses what is there.
    assert_eq!(Checkpoint::open(scene.folder.path()).expect("one model").files(), std::slice::from_ref(&scene.model));
    assert_eq!(scene.bring(&WeightsCache::Auto).origin, WeightsOrigin::Mapped { path: beside, bytes });
    assert_eq!(said(&scene.bring(&WeightsCache::Off).origin), "packed");
}

#[test]
fn a_file_pays_where_there_is_room() {
    const MIB: u64 = 1 << 20;
    let here = std::env::temp_dir().join("file");
    let check = |mib: u64, available: Option<u64>, wanted: bool| {
        assert_eq!(place::pays(mib * MIB, available.map(|mib| mib * MIB), &here), wanted, "{mib} {available:?}");
    };
    check(63, None, false);
    check(64, Some(128), true);
    check(64, Some(127), false);
    check(64, Some(0), false);
    check(1 << 40, None, cfg!(not(unix)));
}
