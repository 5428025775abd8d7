#!/usr/bin/env python3
"""Packs a wheel of what cargo has built: pack.py FOLDER_WITH_THE_LIBRARY FOLDER_FOR_THE_WHEEL.

`pip install .` compiles by itself, in release mode. This is for CI, which has compiled everything for the tests already.
"""

import base64
import hashlib
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).parent


def main(built: Path, out: Path) -> None:
    version = re.search(r'^version = "(.*)"', (HERE / "../../Cargo.toml").read_text("utf-8"), re.MULTILINE).group(1)
    platform = re.sub(r"[-.]", "_", sysconfig.get_platform())
    tag = f"cp310-abi3-{platform}"
    info = f"whinchat-{version}.dist-info"
    files = {f"whinchat/{path.name}": path.read_bytes() for path in sorted((HERE / "python/whinchat").glob("*.*"))}
    files["whinchat/_native.abi3.so"] = stripped(built / "libwhinchat_native.so")
    readme = (HERE / "README.md").read_text("utf-8")
    files[f"{info}/METADATA"] = (
        f"Metadata-Version: 2.1\nName: whinchat\nVersion: {version}\nRequires-Python: >=3.10\nRequires-Dist: numpy>=1.22\n"
        f"Description-Content-Type: text/markdown\n\n{readme}"
    ).encode()
    files[f"{info}/WHEEL"] = f"Wheel-Version: 1.0\nGenerator: pack.py\nRoot-Is-Purelib: false\nTag: {tag}\n".encode()
    files[f"{info}/entry_points.txt"] = b"[console_scripts]\nwhinchat = whinchat.__main__:main\n"
    files[f"{info}/RECORD"] = record(files, f"{info}/RECORD")
    out.mkdir(parents=True, exist_ok=True)
    wheel = out / f"whinchat-{version}-{tag}.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    print(wheel)


def stripped(library: Path) -> bytes:
    """The library without its line tables, where there is somebody to take them out."""
    if shutil.which("strip") is None:
        return library.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, library.name)
        subprocess.run(["strip", "--strip-debug", "-o", copy, library], check=True)
        return copy.read_bytes()


def record(files: dict[str, bytes], own: str) -> bytes:
    """What is in the wheel, with its hashes."""

    def line(name: str, data: bytes) -> str:
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        return f"{name},sha256={digest},{len(data)}"

    return "\n".join([*(line(name, data) for name, data in files.items()), f"{own},,", ""]).encode()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
