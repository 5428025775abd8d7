// Attention of one query head of one row: a workgroup reads the cache in units of UNIT positions. Of each unit it makes the softmax
// weights and their sum of values, and joins them to those of the units before. Units begin at multiples of UNIT, so the order
// depends on the position alone.

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
}

@group(0) @binding(3) var<storage, read> sinks: array<f32>;
@group(0) @binding(5) var<storage, read_write> keys: array<u32>;
@group(0) @binding(6) var<storage, read_write> values: array<u32>;

const UNIT: u32 = 256u;
// Pairs of a head that a lane sums.
const PAIRS: u32 = (HEAD_PAIRS + LANES - 1u) / LANES;
const LOWEST: f32 = -3.0e38;

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

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = group.y;
    let head = group.x;
    let end = position(row) + 1u;
    let start = select(0u, end - p.window, p.window < end);
    let kv_head = head / (p.heads / p.kv_heads) * (p.words / p.kv_heads);
    let q = p.q_at + (row * p.heads + head) * p.head_dim;
    for (var i = lane; i < 2u * HEAD_PAIRS; i += LANES) {
        var x = 0.0;
        if (i < p.head_dim) {
            x = arena[q + i];
        }
        query[i] = x;
    }
    workgroupBarrier();

    var most = LOWEST;
    var weights = 0.0;
    var sums: array<vec2<f32>, PAIRS>;
    for (var unit = start / UNIT * UNIT; unit < end; unit += UNIT) {
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
        let unit_most = largest(lane, mine);
        var sum = 0.0;
        for (var j = lane; j < UNIT; j += LANES) {
            if (unit + j >= start && unit + j < end) {
                scores[j] = exp(scores[j] - unit_most);
                sum += scores[j];
            }
        }
        let unit_weights = total(lane, sum);
        // What was summed and what is new, both relative to the larger of the two largest scores.
        let both = max(most, unit_most);
        let before = select(exp(most - both), 0.0, most == LOWEST);
        let now = exp(unit_most - both);
        let first = select(start - unit, 0u, unit >= start);
        let count = min(end - unit, UNIT);
        for (var n = 0u; n < PAIRS; n++) {
            let i = lane + n * LANES;
            if (i < HEAD_PAIRS) {
                var x = vec2(0.0);
                for (var j = first; j < count; j++) {
                    x = fma(vec2(scores[j]), value(places[j], i), x);
                }
                sums[n] = sums[n] * before + x * now;
            }
        }
        weights = weights * before + unit_weights * now;
        most = both;
        workgroupBarrier();
    }
    if (SINKS == 1u) {
        let both = max(most, sinks[head]);
        let before = exp(most - both);
        weights = weights * before + exp(sinks[head] - both);
        for (var n = 0u; n < PAIRS; n++) {
            sums[n] *= before;
        }
    }
    let out = p.out_at + (row * p.heads + head) * p.head_dim;
    for (var n = 0u; n < PAIRS; n++) {
        let i = 2u * (lane + n * LANES);
        if (i < p.head_dim) {
            arena[out + i] = sums[n].x / weights;
        }
        if (i + 1u < p.head_dim) {
            arena[out + i + 1u] = sums[n].y / weights;
        }
    }
}
