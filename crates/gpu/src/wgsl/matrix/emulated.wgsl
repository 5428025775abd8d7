// What matrix units compute, by lanes: to test on devices without such units what is around them.

alias Half = f32;

fn half(x: f32) -> f32 {
    return quantizeToF16(x);
}

fn clear() {}

// Each lane adds to a column of the sums.
fn multiply(lane: u32) {
    for (var m = 0u; m < ROWS_OF_X; m++) {
        var sum = sums[m * WIDE + lane];
        for (var k = 0u; k < DEEP; k++) {
            sum = fma(xs[m * DEEP + k], ws[lane * DEEP + k], sum);
        }
        sums[m * WIDE + lane] = sum;
    }
}

fn finish() {}
