// The choice of experts: a thread for each row. OP says what.

struct Params {
    a_at: u32,
    b_at: u32,
    out_at: u32,
    // Experts, and slots of a row.
    experts: u32,
    slots: u32,
    // Of groups: how many, how many stay, how many scores of each add up.
    groups: u32,
    used: u32,
    best: u32,
    // Bits of minus infinity, which a text must not name.
    lowest: u32,
}

fn score(row: u32, i: u32) -> f32 {
    return arena[p.a_at + row * p.experts + i];
}

fn chosen_id(row: u32, slot: u32) -> u32 {
    return u32(arena[p.b_at + row * p.slots + slot]);
}

fn put(row: u32, width: u32, i: u32, x: f32) {
    arena[p.out_at + row * width + i] = x;
}

// Whether the first of two comes before the second: it is larger, or as large and of a lower number.
fn before(x: f32, i: u32, y: f32, j: u32) -> bool {
    return x > y || (x == y && i < j);
}

// The largest of the scores from `from` on that come after the one last taken.
fn next(row: u32, from_: u32, count: u32, any: bool, last: u32) -> u32 {
    var found = count;
    for (var i = 0u; i < count; i++) {
        let x = score(row, from_ + i);
        let open = any || before(score(row, from_ + last), last, x, i);
        if (open && (found == count || before(x, i, score(row, from_ + found), found))) {
            found = i;
        }
    }
    return min(found, count - 1u);
}

fn top_k(row: u32) {
    var last = 0u;
    for (var slot = 0u; slot < p.slots; slot++) {
        last = next(row, 0u, p.experts, slot == 0u, last);
        put(row, p.slots, slot, f32(last));
    }
}

// The sum of the best scores of a group.
fn merit(row: u32, group: u32) -> f32 {
    let each = p.experts / p.groups;
    var last = 0u;
    var sum = 0.0;
    for (var n = 0u; n < p.best; n++) {
        last = next(row, group * each, each, n == 0u, last);
        sum += score(row, group * each + last);
    }
    return sum;
}

fn keep_groups(row: u32) {
    let each = p.experts / p.groups;
    for (var group = 0u; group < p.groups; group++) {
        let mine = merit(row, group);
        var better = 0u;
        for (var other = 0u; other < p.groups; other++) {
            if (before(merit(row, other), other, mine, group)) {
                better += 1u;
            }
        }
        for (var i = group * each; i < (group + 1u) * each; i++) {
            put(row, p.experts, i, select(bitcast<f32>(p.lowest), score(row, i), better < p.used));
        }
    }
}

// What the scores of a row, all or the chosen ones, are divided by as exponentials, and the largest.
fn softmax(row: u32, chosen: bool) -> vec2<f32> {
    let count = select(p.experts, p.slots, chosen);
    var most = -3.0e38;
    for (var n = 0u; n < count; n++) {
        most = max(most, picked(row, n, chosen));
    }
    var sum = 0.0;
    for (var n = 0u; n < count; n++) {
        sum += exp(picked(row, n, chosen) - most);
    }
    return vec2(most, sum);
}

fn picked(row: u32, n: u32, chosen: bool) -> f32 {
    if (chosen) {
        return score(row, chosen_id(row, n));
    }
    return score(row, n);
}

fn gate_weights(row: u32) {
    var most = 0.0;
    var sum = 1.0;
    if (OP == SOFTMAX_CHOSEN || OP == SOFTMAX_ALL) {
        let found = softmax(row, OP == SOFTMAX_CHOSEN);
        most = found.x;
        sum = found.y;
    }
    if (OP == SHARED) {
        sum = 0.0;
        for (var slot = 0u; slot < p.slots; slot++) {
            sum += picked(row, slot, true);
        }
        sum = max(sum, 1.1754944e-38);
    }
    for (var slot = 0u; slot < p.slots; slot++) {
        let x = picked(row, slot, true);
        if (OP == KEPT) {
            put(row, p.slots, slot, x);
        } else if (OP == SHARED) {
            put(row, p.slots, slot, x / sum);
        } else {
            put(row, p.slots, slot, exp(x - most) / sum);
        }
    }
}

fn squash(row: u32) {
    var found = vec2(0.0);
    if (OP == SQUASH_SOFTMAX) {
        found = softmax(row, false);
    }
    for (var i = 0u; i < p.experts; i++) {
        let x = score(row, i);
        if (OP == SQUASH_SOFTMAX) {
            put(row, p.experts, i, exp(x - found.x) / found.y);
        } else {
            put(row, p.experts, i, sigmoid(x));
        }
    }
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) thread: vec3<u32>) {
    let row = thread.x;
    if (row >= batch[COUNT]) {
        return;
    }
    if (OP == TOP_K) {
        top_k(row);
    } else if (OP == KEEP_GROUPS) {
        keep_groups(row);
    } else if (OP == SQUASH_SIGMOID || OP == SQUASH_SOFTMAX) {
        squash(row);
    } else {
        gate_weights(row);
    }
}
