// A unit of a weight's row is 8 columns: two runs of 4, which begin at `columns`. A row's words are in two planes: `stride` words
// a row, then `tail_stride` words a row from `tail_at` on.

struct Unit {
    lo: vec4<f32>,
    hi: vec4<f32>,
}

// The 4 bits of each byte from a bit on.
fn nibbles(word: u32, shift: u32) -> vec4<u32> {
    return (vec4(word) >> (vec4(0u, 8u, 16u, 24u) + shift)) & vec4(15u);
}

// The 2 bits of each byte from a bit on.
fn twos(word: u32, shift: u32) -> vec4<u32> {
    return (vec4(word) >> (vec4(0u, 8u, 16u, 24u) + shift)) & vec4(3u);
}

fn byte(word: u32, i: u32) -> u32 {
    return (word >> (8u * i)) & 255u;
}

// The four bytes as numbers between -128 and 127.
fn signed(word: u32) -> vec4<f32> {
    let shifted = vec4(word << 24u, word << 16u, word << 8u, word);
    return vec4<f32>(bitcast<vec4<i32>>(shifted) >> vec4(24u));
}

// A number in half precision from the tail plane.
fn tail_half(row: u32, i: u32) -> f32 {
    let pair = unpack2x16float(stored(p.tail_at + row * p.tail_stride + i / 2u));
    return select(pair.x, pair.y, i % 2u == 1u);
}
