// The matrix units of a subgroup: matrices of 8 by 8, in half precision, summed in full. Sums are 4 matrices wide and TALL high: 1 or 4.

alias Half = f16;

// From a row of matrices to the next in the sums and in x; 0 where there is one.
const NEXT_SUMS: u32 = TALL / 4u * 8u * WIDE;
const NEXT_X: u32 = TALL / 4u * 8u * DEEP;

var<private> c00: coop_mat8x8<f32, C>;
var<private> c01: coop_mat8x8<f32, C>;
var<private> c02: coop_mat8x8<f32, C>;
var<private> c03: coop_mat8x8<f32, C>;
var<private> c10: coop_mat8x8<f32, C>;
var<private> c11: coop_mat8x8<f32, C>;
var<private> c12: coop_mat8x8<f32, C>;
var<private> c13: coop_mat8x8<f32, C>;
var<private> c20: coop_mat8x8<f32, C>;
var<private> c21: coop_mat8x8<f32, C>;
var<private> c22: coop_mat8x8<f32, C>;
var<private> c23: coop_mat8x8<f32, C>;
var<private> c30: coop_mat8x8<f32, C>;
var<private> c31: coop_mat8x8<f32, C>;
var<private> c32: coop_mat8x8<f32, C>;
var<private> c33: coop_mat8x8<f32, C>;

fn half(x: f32) -> f16 {
    return f16(x);
}

// The sums are zeros; these are read.
fn clear() {
    c00 = coopLoadT<coop_mat8x8<f32, C>>(&sums[0], WIDE);
    c01 = coopLoadT<coop_mat8x8<f32, C>>(&sums[8], WIDE);
    c02 = coopLoadT<coop_mat8x8<f32, C>>(&sums[16], WIDE);
    c03 = coopLoadT<coop_mat8x8<f32, C>>(&sums[24], WIDE);
    if (TALL == 4u) {
        c10 = coopLoadT<coop_mat8x8<f32, C>>(&sums[NEXT_SUMS], WIDE);
        c11 = coopLoadT<coop_mat8x8<f32, C>>(&sums[NEXT_SUMS + 8u], WIDE);
        c12 = coopLoadT<coop_mat8x8<f32, C>>(&sums[NEXT_SUMS + 16u], WIDE);
        c13 = coopLoadT<coop_mat8x8<f32, C>>(&sums[NEXT_SUMS + 24u], WIDE);
        c20 = coopLoadT<coop_mat8x8<f32, C>>(&sums[2u * NEXT_SUMS], WIDE);
        c21 = coopLoadT<coop_mat8x8<f32, C>>(&sums[2u * NEXT_SUMS + 8u], WIDE);
        c22 = coopLoadT<coop_mat8x8<f32, C>>(&sums[2u * NEXT_SUMS + 16u], WIDE);
        c23 = coopLoadT<coop_mat8x8<f32, C>>(&sums[2u * NEXT_SUMS + 24u], WIDE);
        c30 = coopLoadT<coop_mat8x8<f32, C>>(&sums[3u * NEXT_SUMS], WIDE);
        c31 = coopLoadT<coop_mat8x8<f32, C>>(&sums[3u * NEXT_SUMS + 8u], WIDE);
        c32 = coopLoadT<coop_mat8x8<f32, C>>(&sums[3u * NEXT_SUMS + 16u], WIDE);
        c33 = coopLoadT<coop_mat8x8<f32, C>>(&sums[3u * NEXT_SUMS + 24u], WIDE);
    }
}

// Adds the products of the columns that are staged.
fn multiply(lane: u32) {
    for (var k = 0u; k < DEEP; k += 8u) {
        // Rows of the weight are columns of the second matrix.
        let b0 = coopLoad<coop_mat8x8<f16, B>>(&ws[k], DEEP);
        let b1 = coopLoad<coop_mat8x8<f16, B>>(&ws[8u * DEEP + k], DEEP);
        let b2 = coopLoad<coop_mat8x8<f16, B>>(&ws[16u * DEEP + k], DEEP);
        let b3 = coopLoad<coop_mat8x8<f16, B>>(&ws[24u * DEEP + k], DEEP);
        let a0 = coopLoadT<coop_mat8x8<f16, A>>(&xs[k], DEEP);
        c00 = coopMultiplyAdd(a0, b0, c00);
        c01 = coopMultiplyAdd(a0, b1, c01);
        c02 = coopMultiplyAdd(a0, b2, c02);
        c03 = coopMultiplyAdd(a0, b3, c03);
        if (TALL == 4u) {
            let a1 = coopLoadT<coop_mat8x8<f16, A>>(&xs[NEXT_X + k], DEEP);
            c10 = coopMultiplyAdd(a1, b0, c10);
            c11 = coopMultiplyAdd(a1, b1, c11);
            c12 = coopMultiplyAdd(a1, b2, c12);
            c13 = coopMultiplyAdd(a1, b3, c13);
            let a2 = coopLoadT<coop_mat8x8<f16, A>>(&xs[2u * NEXT_X + k], DEEP);
            c20 = coopMultiplyAdd(a2, b0, c20);
            c21 = coopMultiplyAdd(a2, b1, c21);
            c22 = coopMultiplyAdd(a2, b2, c22);
            c23 = coopMultiplyAdd(a2, b3, c23);
            let a3 = coopLoadT<coop_mat8x8<f16, A>>(&xs[3u * NEXT_X + k], DEEP);
            c30 = coopMultiplyAdd(a3, b0, c30);
            c31 = coopMultiplyAdd(a3, b1, c31);
            c32 = coopMultiplyAdd(a3, b2, c32);
            c33 = coopMultiplyAdd(a3, b3, c33);
        }
    }
}

fn finish() {
    coopStoreT(c00, &sums[0], WIDE);
    coopStoreT(c01, &sums[8], WIDE);
    coopStoreT(c02, &sums[16], WIDE);
    coopStoreT(c03, &sums[24], WIDE);
    if (TALL == 4u) {
        coopStoreT(c10, &sums[NEXT_SUMS], WIDE);
        coopStoreT(c11, &sums[NEXT_SUMS + 8u], WIDE);
        coopStoreT(c12, &sums[NEXT_SUMS + 16u], WIDE);
        coopStoreT(c13, &sums[NEXT_SUMS + 24u], WIDE);
        coopStoreT(c20, &sums[2u * NEXT_SUMS], WIDE);
        coopStoreT(c21, &sums[2u * NEXT_SUMS + 8u], WIDE);
        coopStoreT(c22, &sums[2u * NEXT_SUMS + 16u], WIDE);
        coopStoreT(c23, &sums[2u * NEXT_SUMS + 24u], WIDE);
        coopStoreT(c30, &sums[3u * NEXT_SUMS], WIDE);
        coopStoreT(c31, &sums[3u * NEXT_SUMS + 8u], WIDE);
        coopStoreT(c32, &sums[3u * NEXT_SUMS + 16u], WIDE);
        coopStoreT(c33, &sums[3u * NEXT_SUMS + 24u], WIDE);
    }
}
