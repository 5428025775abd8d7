// A thread writes 32 elements, rounded to 8 bits: the largest magnitude becomes 127. The scale is kept as it reads in half precision.

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
        most = max(most, abs(element(row, value, head, 32u * i + e)));
    }
    let scale = most / 127.0;
    let inverse = select(1.0 / scale, 0.0, scale == 0.0);
    put(value, at + 9u * i, bitcast<u32>(unpack2x16float(half_bits(scale)).x));
    for (var word = 0u; word < 8u; word++) {
        var bytes = 0u;
        for (var e = 0u; e < 4u; e++) {
            // Half-way cases away from 0.
            let x = element(row, value, head, 32u * i + 4u * word + e) * inverse;
            let rounded = i32(floor(abs(x) + 0.5)) * select(1, -1, x < 0.0);
            bytes |= (bitcast<u32>(rounded) & 255u) << (8u * e);
        }
        put(value, at + 9u * i + 1u + word, bytes);
    }
}
