// The greatest numbers of rows of the output, the first of equals first, with the logarithm of the sum of exp(x - greatest) over the row.
// STEP says who does it. CHUNK: a workgroup takes the greatest of CHUNK_LEN numbers. MERGE: a workgroup takes the greatest of those.
// Which of a row's numbers share a chunk depends on its width alone, so the bits do too.

struct Params {
    x_at: u32,
    width: u32,
    chunks: u32,
    // Where chunks write, and where results go.
    chunks_at: u32,
    results_at: u32,
    // Bits of NaN.
    nan: u32,
}

// Exponents below this add nothing.
const FAR: f32 = -200.0;
const INFINITE: u32 = 0x7f800000u;

var<workgroup> keys: array<u32, LANES>;
var<workgroup> columns: array<u32, LANES>;
var<workgroup> lanes: array<f32, LANES>;
// Which lanes have met a number that is none, or infinite.
var<workgroup> bad: array<u32, LANES>;

// How many numbers of each chunk are taken already, of those that a lane looks after.
var<private> taken: array<u32, LISTS>;

// Orders numbers as their keys are ordered; both zeros are equal. 0 is no number's.
fn key(x: f32) -> u32 {
    var bits = bitcast<u32>(x);
    if (bits == 0x80000000u) {
        bits = 0u;
    }
    return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}

fn is_bad(x: f32) -> bool {
    let bits = bitcast<u32>(x);
    return bits == INFINITE || (bits & 0x7fffffffu) > INFINITE;
}

// Of the lanes' (key, column) the one with the greatest key, of equals the one with the lowest column.
fn greatest(lane: u32, mine: vec2<u32>) -> vec2<u32> {
    keys[lane] = mine.x;
    columns[lane] = mine.y;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        if (lane < half) {
            let k = keys[lane + half];
            let c = columns[lane + half];
            if (k > keys[lane] || (k == keys[lane] && c < columns[lane])) {
                keys[lane] = k;
                columns[lane] = c;
            }
        }
        workgroupBarrier();
    }
    let found = vec2(keys[0], columns[0]);
    workgroupBarrier();
    return found;
}

// The greatest of a lane's numbers that comes after `last`.
fn after(lane: u32, x: u32, count: u32, last: vec2<u32>) -> vec2<u32> {
    var best = vec2(0u, 0xffffffffu);
    for (var i = lane; i < count; i += LANES) {
        let k = key(arena[x + i]);
        let comes = k < last.x || (k == last.x && i > last.y);
        if (comes && k > best.x) {
            best = vec2(k, i);
        }
    }
    return best;
}

fn chunk_of(row: u32, chunk: u32) -> u32 {
    return p.chunks_at + (row * p.chunks + chunk) * (2u * batch[TOP] + 2u);
}

fn count_of(chunk: u32) -> u32 {
    return min(p.width - chunk * CHUNK_LEN, CHUNK_LEN);
}

fn take_chunk(row: u32, chunk: u32, lane: u32) {
    let x = p.x_at + batch[batch[TOP_AT] + row] * p.width + chunk * CHUNK_LEN;
    let count = count_of(chunk);
    let out = chunk_of(row, chunk);
    bad[lane] = 0u;
    for (var i = lane; i < count; i += LANES) {
        if (is_bad(arena[x + i])) {
            bad[lane] = 1u;
        }
    }
    var mine = after(lane, x, count, vec2(0xffffffffu, 0xffffffffu));
    var most = 0.0;
    for (var n = 0u; n < min(batch[TOP], count); n++) {
        let found = greatest(lane, mine);
        let number = arena[x + found.y];
        if (n == 0u) {
            most = number;
        }
        if (lane == 0u) {
            arena[out + 2u + n] = number;
            arena[out + 2u + batch[TOP] + n] = f32(chunk * CHUNK_LEN + found.y);
        }
        if (mine.y == found.y) {
            mine = after(lane, x, count, found);
        }
    }
    var sum = 0.0;
    for (var i = lane; i < count; i += LANES) {
        sum += exp(max(arena[x + i] - most, FAR));
    }
    lanes[lane] = sum;
    workgroupBarrier();
    if (lane == 0u) {
        var any = 0u;
        var all = 0.0;
        for (var l = 0u; l < LANES; l++) {
            any |= bad[l];
            all += lanes[l];
        }
        arena[out] = select(most, bitcast<f32>(p.nan), any == 1u);
        // Of minus infinities alone nothing is summed.
        arena[out + 1u] = select(all, 0.0, bitcast<u32>(most) == 0xff800000u);
    }
}

// The greatest number that is not taken, of the chunks that a lane looks after: its key, its column, and its chunk.
fn next(row: u32, lane: u32) -> vec3<u32> {
    var best = vec3(0u, 0xffffffffu, 0u);
    for (var n = 0u; n < LISTS; n++) {
        let chunk = lane + n * LANES;
        if (chunk >= p.chunks || taken[n] >= min(batch[TOP], count_of(chunk))) {
            continue;
        }
        let at = chunk_of(row, chunk) + 2u + taken[n];
        let k = key(arena[at]);
        // Chunks come in the order of their columns.
        if (k > best.x) {
            best = vec3(k, u32(arena[at + batch[TOP]]), n);
        }
    }
    return best;
}

fn merge(row: u32, lane: u32) {
    let out = p.results_at + row * (2u * batch[TOP] + 1u);
    var mine = next(row, lane);
    for (var n = 0u; n < batch[TOP]; n++) {
        let found = greatest(lane, mine.xy);
        if (mine.x > 0u && mine.y == found.y) {
            let list = mine.z;
            arena[out + 1u + n] = arena[chunk_of(row, lane + list * LANES) + 2u + taken[list]];
            arena[out + 1u + batch[TOP] + n] = f32(mine.y);
            taken[list]++;
            mine = next(row, lane);
        }
    }
    if (lane == 0u) {
        var is_any_bad = false;
        var most = arena[chunk_of(row, 0u)];
        for (var chunk = 0u; chunk < p.chunks; chunk++) {
            let x = arena[chunk_of(row, chunk)];
            is_any_bad = is_any_bad || is_bad(x);
            if (key(x) > key(most)) {
                most = x;
            }
        }
        var sum = 0.0;
        for (var chunk = 0u; chunk < p.chunks; chunk++) {
            let at = chunk_of(row, chunk);
            if (arena[at + 1u] > 0.0) {
                sum = fma(arena[at + 1u], exp(max(arena[at] - most, FAR)), sum);
            }
        }
        arena[out] = select(log(max(sum, 1.0)), bitcast<f32>(p.nan), is_any_bad);
    }
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    if (STEP == CHUNK) {
        take_chunk(group.y, group.x, lane);
    } else {
        merge(group.y, lane);
    }
}
