//! The tests of the Python package, on the native half that was built beside this test. Without a Python that has pytest and NumPy
//! (`WHINCHAT_PYTHON` names one) they are skipped.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The native half: the same build that gives a test its libraries gives it too.
fn native() -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    test.with_file_name(format!("{DLL_PREFIX}whinchat_native{DLL_SUFFIX}"))
}

/// A folder with the package as pip would install it.
fn package() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
    // What an earlier run has left.
    let _ = std::fs::remove_dir_all(&folder);
    let package = folder.join("whinchat");
    std::fs::create_dir_all(&package).expect("a folder");
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/whinchat");
    for entry in std::fs::read_dir(sources).expect("the sources") {
        let file = entry.expect("an entry").path();
        if file.is_file() {
            std::fs::copy(&file, package.join(file.file_name().expect("a name"))).expect("copied");
        }
    }
    let place = package.join(if cfg!(windows) { "_native.pyd" } else { "_native.abi3.so" });
    std::fs::hard_link(native(), &place)
        .or_else(|_| std::fs::copy(native(), &place).map(drop))
        .expect("the native half");
    folder
}

fn python() -> Option<OsString> {
    let python = std::env::var_os("WHINCHAT_PYTHON").unwrap_or_else(|| "python3".into());
    let output = Command::new(&python).args(["-c", "import numpy, pytest"]).output();
    output.is_ok_and(|output| output.status.success()).then_some(python)
}

#[test]
fn the_package_passes_its_tests() {
    let Some(python) = python() else {
        eprintln!("skipped: no Python with numpy and pytest (WHINCHAT_PYTHON names one)");
        return;
    };
    let mut pytest = Command::new(python);
    pytest.args(["-m", "pytest", "-q", "--durations=5", "-p", "no:cacheprovider", "tests"]);
    pytest.current_dir(env!("CARGO_MANIFEST_DIR")).env("PYTHONPATH", package()).env("PYTHONDONTWRITEBYTECODE", "1");
    let output = pytest.env_remove("WHINCHAT_MODEL").output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains(" passed"), "{said}");
}
