// Attention of one query head of one row. The cache is read in units of UNIT positions. Of each unit a workgroup makes the softmax
// weights, relative to the unit's largest score, and their sum of values; units are joined in order. Units begin at multiples of UNIT,
// so the order depends on the position alone.
//
// STEP says who does it. WHOLE: a workgroup reads all units of its row. PART: a workgroup reads one unit, and writes what it made of it.
// MERGE: a workgroup joins what those of its row wrote. A row gets the same bits either way: the same functions read and join, and
// products that could be fused with a sum are.

struct Params {
    q_at: u32,
    out_at: u32,
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    block_len: u32,
    words: u32,
    // Positions that a row sees.
    window: u32,
    // Bits of numbers.
    scale: u32,
    cap: u32,
    // Where parts are written.
    parts_at: u32,
}

@group(0) @binding(3) var<storage, read> sinks: array<f32>;
@group(0) @binding(5) var<storage, read_write> keys: array<u32>;
@group(0) @binding(6) var<storage, read_write> values: array<u32>;

// Pairs of a head that a lane sums.
const PAIRS: u32 = (HEAD_PAIRS + LANES - 1u) / LANES;
const LOWEST: f32 = -3.0e38;

// What was made of some units.
struct Part {
    most: f32,
    // Relative to the largest score.
    weights: f32,
    sums: array<vec2<f32>, PAIRS>,
}

// The newest unit, and all that are joined.
var<private> made: Part;
var<private> joined: Part;

var<workgroup> query: array<f32, 2u * HEAD_PAIRS>;
var<workgroup> scores: array<f32, UNIT>;
var<workgroup> lanes: array<f32, LANES>;
// Where the positions of a unit are in the cache.
var<workgroup> places: array<u32, UNIT>;

fn largest(lane: u32, mine: f32) -> f32 {
    lanes[lane] = mine;
    workgroupBarrier();
    var most = lanes[0];
    for (var l = 1u; l < LANES; l++) {
        most = max(most, lanes[l]);
    }
    workgroupBarrier();
    return most;
}

fn total(lane: u32, mine: f32) -> f32 {
    lanes[lane] = mine;
    workgroupBarrier();
    var sum = 0.0;
    for (var l = 0u; l < LANES; l++) {
        sum += lanes[l];
    }
    workgroupBarrier();
    return sum;
}

fn read_query(row: u32, head: u32, lane: u32) {
    let q = p.q_at + (row * p.heads + head) * p.head_dim;
    for (var i = lane; i < 2u * HEAD_PAIRS; i += LANES) {
        var x = 0.0;
        if (i < p.head_dim) {
            x = arena[q + i];
        }
        query[i] = x;
    }
    workgroupBarrier();
}

// Makes of the unit that begins at `unit` what a row sees of it: the positions from `start` to before `end`.
fn read_unit(row: u32, head: u32, lane: u32, unit: u32, start: u32, end: u32) {
    let kv_head = head / (p.heads / p.kv_heads) * (p.words / p.kv_heads);
    var mine = LOWEST;
    for (var j = lane; j < UNIT; j += LANES) {
        let at = unit + j;
        if (at < start || at >= end) {
            continue;
        }
        let place = slot(row, at, p.block_len) * p.words + kv_head;
        places[j] = place;
        var product = 0.0;
        for (var i = 0u; i < HEAD_PAIRS; i++) {
            let k = key(place, i);
            product = fma(query[2u * i + 1u], k.y, fma(query[2u * i], k.x, product));
        }
        product *= bitcast<f32>(p.scale);
        if (CAP == 1u) {
            let cap = bitcast<f32>(p.cap);
            product = cap * tanh(clamp(product / cap, -15.0, 15.0));
        }
        scores[j] = product;
        mine = max(mine, product);
    }
    made.most = largest(lane, mine);
    var sum = 0.0;
    for (var j = lane; j < UNIT; j += LANES) {
        if (unit + j >= start && unit + j < end) {
            scores[j] = exp(scores[j] - made.most);
            sum += scores[j];
        }
    }
    made.weights = total(lane, sum);
    let first = select(start - unit, 0u, unit >= start);
    let count = min(end - unit, UNIT);
    for (var n = 0u; n < PAIRS; n++) {
        let i = lane + n * LANES;
        var x = vec2(0.0);
        if (i < HEAD_PAIRS) {
            for (var j = first; j < count; j++) {
                x = fma(vec2(scores[j]), value(places[j], i), x);
            }
        }
        made.sums[n] = x;
    }
    workgroupBarrier();
}

// Joins the newest unit to those before it, all relative to the largest score of both.
fn join() {
    let both = max(joined.most, made.most);
    let before = select(exp(joined.most - both), 0.0, joined.most == LOWEST);
    let now = exp(made.most - both);
    for (var n = 0u; n < PAIRS; n++) {
        joined.sums[n] = fma(made.sums[n], vec2(now), joined.sums[n] * before);
    }
    joined.weights = fma(made.weights, now, joined.weights * before);
    joined.most = both;
}

// Where a part of a head is written: its largest score, its weights, its sums.
fn place_of(part: u32, head: u32) -> u32 {
    return p.parts_at + (part * p.heads + head) * (2u * HEAD_PAIRS + 2u);
}

fn write_part(at: u32, lane: u32) {
    if (lane == 0u) {
        arena[at] = made.most;
        arena[at + 1u] = made.weights;
    }
    for (var n = 0u; n < PAIRS; n++) {
        let i = lane + n * LANES;
        if (i < HEAD_PAIRS) {
            arena[at + 2u + 2u * i] = made.sums[n].x;
            arena[at + 3u + 2u * i] = made.sums[n].y;
        }
    }
}

fn read_part(at: u32, lane: u32) {
    made.most = arena[at];
    made.weights = arena[at + 1u];
    for (var n = 0u; n < PAIRS; n++) {
        let i = lane + n * LANES;
        if (i < HEAD_PAIRS) {
            made.sums[n] = vec2(arena[at + 2u + 2u * i], arena[at + 3u + 2u * i]);
        }
    }
}

fn write_result(row: u32, head: u32, lane: u32) {
    if (SINKS == 1u) {
        let both = max(joined.most, sinks[head]);
        let before = exp(joined.most - both);
        joined.weights = fma(joined.weights, before, exp(sinks[head] - both));
        for (var n = 0u; n < PAIRS; n++) {
            joined.sums[n] *= before;
        }
    }
    let out = p.out_at + (row * p.heads + head) * p.head_dim;
    for (var n = 0u; n < PAIRS; n++) {
        let i = 2u * (lane + n * LANES);
        if (i < p.head_dim) {
            arena[out + i] = joined.sums[n].x / joined.weights;
        }
        if (i + 1u < p.head_dim) {
            arena[out + i + 1u] = joined.sums[n].y / joined.weights;
        }
    }
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let head = group.x;
    var row = group.y;
    var part = group.y;
    if (STEP == PART) {
        row = batch[batch[PARTS_AT] + 2u * part];
    } else if (STEP == MERGE) {
        part = batch[batch[FIRST_PARTS_AT] + row];
    }
    let end = position(row) + 1u;
    let start = select(0u, end - p.window, p.window < end);
    if (STEP == PART) {
        // A unit that the row does not see, since the window of this layer is short, is made of nothing and read by nobody.
        read_query(row, head, lane);
        read_unit(row, head, lane, UNIT * batch[batch[PARTS_AT] + 2u * part + 1u], start, end);
        write_part(place_of(part, head), lane);
        return;
    }
    joined.most = LOWEST;
    if (STEP == WHOLE) {
        read_query(row, head, lane);
        for (var unit = start / UNIT * UNIT; unit < end; unit += UNIT) {
            read_unit(row, head, lane, unit, start, end);
            join();
        }
    } else {
        for (var unit = start / UNIT; unit * UNIT < end; unit++) {
            read_part(place_of(part + unit, head), lane);
            join();
        }
    }
    write_result(row, head, lane);
}
