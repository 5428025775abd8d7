// A thread writes 32 elements, rounded to 4 bits: the one of the largest magnitude becomes -8. The scale is kept as it reads in half
// precision.

fn put(value: bool, at: u32, word: u32) {
    if (value) {
        values[at] = word;
    } else {
        keys[at] = word;
    }
}

fn store(value: bool, at: u32, row: u32, head: u32, i: u32) {
    var most = 0.0;
    for (var e = 0u; e < 32u; e++) {
        let x = element(row, value, head, 32u * i + e);
        most = select(most, x, abs(x) > abs(most));
    }
    let scale = most / -8.0;
    let inverse = select(1.0 / scale, 0.0, scale == 0.0);
    put(value, at + 5u * i, bitcast<u32>(unpack2x16float(half_bits(scale)).x));
    for (var word = 0u; word < 4u; word++) {
        var packed = 0u;
        for (var e = 0u; e < 8u; e++) {
            let x = element(row, value, head, 32u * i + 8u * word + e) * inverse;
            packed |= u32(clamp(x + 8.5, 0.0, 15.0)) << (4u * e);
        }
        put(value, at + 5u * i + 1u + word, packed);
    }
}
