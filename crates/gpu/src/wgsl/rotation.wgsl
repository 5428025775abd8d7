// The angles of a step.

// The cosine and sine of a pair of a row, times the magnitude.
fn rotation(rope: u32, row: u32, pairs: u32, i: u32) -> vec2<f32> {
    let at = batch[ROPES_AT + rope] + 2u * (row * pairs + i);
    return bitcast<vec2<f32>>(vec2(batch[at], batch[at + 1u]));
}
