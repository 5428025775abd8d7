// Copies of whole blocks or states within a memory, one after the other: a thread for each word.

struct Params {
    // Words of a block or a state.
    len: u32,
}

@group(0) @binding(7) var<storage, read_write> states: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) thread: vec3<u32>) {
    let word = thread.y * 4194240u + thread.x;
    if (word >= p.len) {
        return;
    }
    let list = batch[select(COPIES_AT, STATE_COPIES_AT, OF_STATES == 1u)];
    for (var i = 0u; i < batch[select(COPIES, STATE_COPIES, OF_STATES == 1u)]; i++) {
        states[batch[list + 2u * i + 1u] * p.len + word] = states[batch[list + 2u * i] * p.len + word];
    }
}
