//! What a file looks like by its first bytes, and what to do with one that is not a model we read.

/// How many of the first bytes decide.
pub(super) const HEAD: usize = 512;

/// What a file looks like.
#[derive(Debug, PartialEq)]
pub(super) enum Looks {
    Gguf,
    Safetensors,
    /// Something else: what it is and what to do.
    Other(&'static str),
}

/// Where the mark stands, the mark, and what the file then is. ONNX has no mark; it begins with the fields 1 (the
/// version of its format) and 2 (the program that wrote it) of a protocol buffer.
const MARKS: [(usize, &[u8], &str); 21] = [
    (0, b"version https://git-lfs", "is a Git LFS pointer, not the model itself; run `git lfs pull` in its repository"),
    (0, b"<", "is a web page, not a model; the download needs another link (\"resolve\", not \"blob\") or a login"),
    (0, b"PK\x03\x04", "is a zip archive, likely PyTorch weights (.bin, .pt); take the safetensors or GGUF files"),
    (0, b"\x80\x02", "is a Python pickle, likely PyTorch weights; take the model's safetensors or GGUF files"),
    (0, b"\x80\x03", "is a Python pickle; take the model's safetensors or GGUF files"),
    (0, b"\x80\x04", "is a Python pickle; take the model's safetensors or GGUF files"),
    (0, b"\x80\x05", "is a Python pickle; take the model's safetensors or GGUF files"),
    (0, b"FUGG", "is a GGUF file with its bytes swapped; take the little-endian file"),
    (0, b"lmgg", "is an old GGML file; take the model's GGUF file or convert it again"),
    (0, b"fmgg", "is an old GGML file; take the model's GGUF file or convert it again"),
    (0, b"tjgg", "is an old GGML (GGJT) file; take the model's GGUF file or convert it again"),
    (0, b"algg", "is a LoRA adapter of the old GGML format, not a model"),
    (0, b"\x89HDF", "is an HDF5 file (Keras); take the model's safetensors or GGUF files"),
    (4, b"TFL3", "is a TensorFlow Lite file; take the model's safetensors or GGUF files"),
    (0, b"\x93NUMPY", "is a NumPy array; give a GGUF file or a folder with safetensors files"),
    (0, b"\x1f\x8b", "is compressed with gzip; unpack it first"),
    (0, b"\x28\xb5\x2f\xfd", "is compressed with zstd; unpack it first"),
    (0, b"\xfd7zXZ", "is compressed with xz; unpack it first"),
    (0, b"7z\xbc\xaf", "is a 7-zip archive; unpack it first"),
    (257, b"ustar", "is a tar archive; unpack it first"),
    (0, b"{", "is JSON, not weights; give the folder that it is in"),
];
const ONNX: &str = "looks like an ONNX model; take the model's safetensors or GGUF files";

/// What a file with these first bytes (at most [`HEAD`]) looks like.
pub(super) fn looks(head: &[u8]) -> Looks {
    if head.is_empty() {
        return Looks::Other("is empty; download it again");
    }
    if head.starts_with(b"GGUF") {
        return Looks::Gguf;
    }
    // Before the marks: the length of the header, in the first 8 bytes, may look like any of them.
    if matches!(head, [_, _, _, _, 0, 0, 0, 0, b'{', ..]) {
        return Looks::Safetensors;
    }
    if let Some((.., what)) = MARKS.iter().find(|(at, mark, _)| head.get(*at..).is_some_and(|h| h.starts_with(mark))) {
        return Looks::Other(what);
    }
    if head.iter().all(|&b| b == 0) {
        return Looks::Other("begins with zeros only: a download that was never filled; fetch it again");
    }
    if head.get(8).is_some_and(|&b| b == b'{') {
        return Looks::Safetensors;
    }
    if matches!(head, [0x08, 1..=32, 0x12, ..]) {
        return Looks::Other(ONNX);
    }
    Looks::Other("is not a model that Whinchat reads; give a GGUF file or a folder with safetensors files")
}
