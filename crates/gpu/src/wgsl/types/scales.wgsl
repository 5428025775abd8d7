// The scales of Q4_K and Q5_K.

// The scale and minimum of run `j` of 32 columns, of the block that begins at a word: 6 bits each, the first four in the low bits
// of bytes 4 to 11, the rest split between their top bits and bytes 12 to 15.
fn scale_and_min(at: u32, j: u32) -> vec2<f32> {
    let s = byte(stored(at + 1u), j % 4u);
    let m = byte(stored(at + 2u), j % 4u);
    var six = vec2(s & 63u, m & 63u);
    if (j >= 4u) {
        let rest = byte(stored(at + 3u), j % 4u);
        six = vec2((rest & 15u) | ((s >> 6u) << 4u), (rest >> 4u) | ((m >> 6u) << 4u));
    }
    return unpack2x16float(stored(at)) * vec2<f32>(six);
}
