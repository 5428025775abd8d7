// A thread writes a pair, in half precision.

fn store(value: bool, at: u32, row: u32, head: u32, i: u32) {
    let word = half_bits(element(row, value, head, 2u * i)) | (half_bits(element(row, value, head, 2u * i + 1u)) << 16u);
    if (value) {
        values[at + i] = word;
    } else {
        keys[at + i] = word;
    }
}
