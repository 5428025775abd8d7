//! The shape rules of recurrent operators.

use crate::{GatedDelta, Memory, Rows, Scan, ValueInfo, WeightId};

use super::{Checked, Layer, Shapes, Typed, divides, floats, number, pass, require, times};

impl Shapes<'_> {
    pub(super) fn causal_conv(&self, layer: usize, taps: WeightId, x: &Typed) -> Checked {
        let info = number(x)?;
        let (channels, width) = self.table(taps)?;
        require(info.rows == Rows::Tokens, || "the input does not have a row for each token".into())?;
        require(info.width == channels, || format!("input is {} wide, the weight has {channels} rows", info.width))?;
        require(width > 1, || "a convolution of one tap remembers nothing; multiply instead".into())?;
        self.state(layer, times("the last inputs", channels, width - 1)?)?;
        pass(x)
    }

    /// Checks that a layer is a recurrent one with states of `wanted` numbers that no node has updated yet.
    fn state(&self, layer: usize, wanted: usize) -> Result<(), String> {
        let Layer { memory, written } = self.layer(layer)?;
        let Memory::Recurrent { len } = memory else {
            return Err(format!("layer {layer} keeps keys and values, not a recurrent state"));
        };
        require(!written, || format!("layer {layer} is updated twice"))?;
        require(len == wanted, || format!("layer {layer} has states of {len} numbers, {wanted} are needed"))
    }

    pub(super) fn gated_delta(&self, op: &GatedDelta, [q, k, v, decay, rate]: [&Typed; 5]) -> Checked {
        let &GatedDelta { layer, heads, key_heads, .. } = op;
        let info = each_token("q", q)?;
        for (what, x) in [("k", k), ("v", v), ("the decay", decay), ("the rate", rate)] {
            each_token(what, x)?;
        }
        require(divides(key_heads, heads), || format!("{key_heads} heads of keys do not divide {heads} of values"))?;
        let [q, k, v, decay, rate] = [q, k, v, decay, rate].map(|x| x.info.width);
        require(q == k, || format!("queries are {q} wide, keys {k}"))?;
        require(divides(key_heads, k), || format!("{key_heads} heads do not divide keys of {k}"))?;
        require(divides(heads, v), || format!("{heads} heads do not divide values of {v}"))?;
        require(rate == heads, || format!("the rate is {rate} wide, there are {heads} heads"))?;
        let each = times("the heads' keys", heads, k / key_heads)?;
        require(decay == heads || decay == each, || {
            format!("the decay is {decay} wide, {heads} or {each} are needed")
        })?;
        self.state(layer, times("the states of its heads", k / key_heads, v)?)?;
        floats(info.rows, v)
    }

    pub(super) fn scan(&self, op: &Scan, [x, b, c, step]: [&Typed; 4]) -> Checked {
        let &Scan { layer, heads, groups, decay, skip } = op;
        let info = each_token("x", x)?;
        for (what, x) in [("b", b), ("c", c), ("the time step", step)] {
            each_token(what, x)?;
        }
        require(divides(groups, heads), || format!("{groups} groups do not divide {heads} heads"))?;
        let [x, b, c, step] = [x, b, c, step].map(|x| x.info.width);
        require(divides(heads, x), || format!("{heads} heads do not divide x of {x}"))?;
        require(b == c, || format!("b is {b} wide, c {c}"))?;
        require(divides(groups, b), || format!("{groups} groups do not divide b of {b}"))?;
        require(step == heads, || format!("the time step is {step} wide, there are {heads} heads"))?;
        for (what, weight) in [("decays", decay), ("skips", skip)] {
            let len = self.vector(weight)?;
            require(len == heads, || format!("{len} {what} for {heads} heads"))?;
        }
        self.state(layer, times("the states of its heads", b / groups, x)?)?;
        floats(info.rows, x)
    }
}

/// Numbers with a row for each token.
fn each_token(what: &str, x: &Typed) -> Result<ValueInfo, String> {
    let info = number(x)?;
    require(info.rows == Rows::Tokens, || format!("{what} does not have a row for each token"))?;
    Ok(info)
}
