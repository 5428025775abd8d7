// Activations. ACT says which; their parameters are the bits of x, y and z.

// An activation of a gate, times what it opens.
fn gated(gate: f32, up: f32) -> f32 {
    if (ACT == CLAMPED_SILU) {
        let alpha = bitcast<f32>(p.x);
        let limit = bitcast<f32>(p.y);
        let low = select(gate, limit, gate > limit);
        let clamped = select(select(up, limit, up > limit), -limit, up < -limit);
        return low * sigmoid(alpha * low) * (clamped + 1.0);
    }
    return activation(gate) * up;
}

fn activation(gate: f32) -> f32 {
    if (ACT == SILU) {
        return gate * sigmoid(gate);
    }
    if (ACT == SIGMOID) {
        return sigmoid(gate);
    }
    if (ACT == GELU_TANH) {
        return 0.5 * gate * (1.0 + tangent(0.7978845608 * (gate + 0.044715 * gate * gate * gate)));
    }
    if (ACT == GELU_ERF) {
        return 0.5 * gate * (1.0 + erf(gate * 0.70710678118));
    }
    if (ACT == RELU) {
        return select(gate, 0.0, gate < 0.0);
    }
    if (ACT == SQUARED_RELU) {
        return select(gate * gate, 0.0, gate < 0.0);
    }
    if (ACT == XIELU) {
        let square = bitcast<f32>(p.x);
        let exponential = bitcast<f32>(p.y);
        let linear = bitcast<f32>(p.z);
        if (gate > 0.0) {
            return gate * (square * gate + linear);
        }
        return exponential * (exp_less_1(gate) - gate) + linear * gate;
    }
    // Softplus. Far above 0 it is the gate, and e^gate would be infinite.
    return select(gate, 0.0, gate < 0.0) + log_of_1_and(exp(-abs(gate)));
}

// tanh, which some devices give as a quotient of infinities far from 0.
fn tangent(x: f32) -> f32 {
    return tanh(clamp(x, -15.0, 15.0));
}

// e^x - 1, without the loss near 0.
fn exp_less_1(x: f32) -> f32 {
    if (abs(x) < 0.3) {
        return x * (1.0 + x * (0.5 + x * (0.16666667 + x * (0.041666668 + x * (0.008333334 + x * 0.0013888889)))));
    }
    return exp(x) - 1.0;
}

// ln(1 + x) of x between 0 and 1: by the series of the inverse hyperbolic tangent.
fn log_of_1_and(x: f32) -> f32 {
    let t = x / (2.0 + x);
    let s = t * t;
    return 2.0 * t * (1.0 + s * (0.33333334 + s * (0.2 + s * (0.14285715 + s * (0.11111111 + s * (0.09090909 + s * 0.07692308))))));
}

// The error function: by its series near 0, else by the continued fraction of its complement (Abramowitz and Stegun 7.1.6, 7.1.14).
fn erf(x: f32) -> f32 {
    let a = abs(x);
    if (a < 2.0) {
        var term = x;
        var sum = x;
        for (var n = 1u; n < 28u; n++) {
            term *= 2.0 * x * x / f32(2u * n + 1u);
            sum += term;
        }
        return 1.1283791671 * exp(-x * x) * sum;
    }
    var fraction = a;
    for (var n = 24u; n > 0u; n--) {
        fraction = a + f32(n) * 0.5 / fraction;
    }
    let rest = select(0.5641895835 * exp(-a * a) / fraction, 0.0, a > 6.0);
    let y = select(1.0 - rest, rest - 1.0, x < 0.0);
    return select(y, x, x != x);
}
