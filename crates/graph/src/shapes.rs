//! The shape rules: what each operator needs of its inputs and weight, and the type of what it gives.

use crate::{
    Activation, Attention, Elem, End, Groups, Growth, KvShape, Memory, Op, Product, Rope, Rows, ValueInfo, WeightId,
    WeightInfo, WeightRole,
};

mod recurrent;

/// A value's type, with the bound of its elements where they are indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Typed {
    pub(crate) info: ValueInfo,
    /// Every index is below this; 0 for numbers.
    pub(crate) below: usize,
}

/// A layer's memory and whether a node has written it yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layer {
    pub(crate) memory: Memory,
    pub(crate) written: bool,
}

impl Layer {
    /// Whether its size is neither 0 nor beyond counting.
    pub(crate) fn countable(&self) -> bool {
        let numbers = match self.memory {
            Memory::Kv(KvShape { heads, head_dim }) => heads.checked_mul(head_dim),
            Memory::Recurrent { len } => Some(len),
        };
        numbers.and_then(|n| n.checked_mul(4)).is_some_and(|bytes| bytes > 0)
    }
}

/// What the rules read apart from the inputs.
pub(crate) struct Shapes<'a> {
    pub(crate) weights: &'a [WeightInfo],
    pub(crate) layers: &'a [Layer],
}

type Checked = Result<Typed, String>;

impl Shapes<'_> {
    /// The types of what `op` gives. The error says what does not fit.
    pub(crate) fn outputs(&self, op: &Op, inputs: &[Typed]) -> Result<Vec<Typed>, String> {
        match (op, inputs) {
            (Op::KvWrite { layer }, [k, v]) => self.kv_write(*layer, k, v).map(|()| vec![]),
            (Op::Product(product), [x]) if product.end != End::Add => self.product(product, None, x),
            (Op::Product(product), [residual, x]) if product.end == End::Add => {
                self.product(product, Some(residual), x)
            }
            _ => self.output(op, inputs).map(|output| vec![output]),
        }
    }

    /// The type of what `op` gives, which is one value.
    fn output(&self, op: &Op, inputs: &[Typed]) -> Checked {
        match (op, inputs) {
            (Op::Embed { table } | Op::EmbedPositions { table } | Op::EmbedTypes { table }, []) => {
                floats(Rows::Tokens, self.matrix(*table)?.1)
            }
            (Op::Input { width }, []) => require(*width > 0, || "it is empty".into()).and(floats(Rows::Tokens, *width)),
            (Op::Linear { weight }, [x]) => self.linear(*weight, x),
            (Op::Adapt { weight }, [y, x]) => self.adapt(*weight, y, x),
            (Op::AddBias { bias }, [x]) => self.add_bias(*bias, x),
            (Op::RmsNorm { weight, eps, quantize }, [x]) => self.rms_norm(*weight, *eps, *quantize, x),
            (Op::UnitNorm { span, eps }, [x]) => unit_norm(*span, *eps, x),
            (Op::GaussianTopK { deviations }, [x]) => {
                require(deviations.is_finite(), || format!("{deviations} deviations are not finite")).and(pass(x))
            }
            (Op::Add | Op::Glu { .. }, [a, b]) => same(a, b),
            (Op::Mul, [a, b]) => mul(a, b),
            (Op::Scale { by }, [x]) => require(by.is_finite(), || format!("factor {by} is not finite")).and(pass(x)),
            (Op::ScaleBy { weight }, [x]) => divided(self.vector(*weight)?, x).and(pass(x)),
            (Op::LayerNorm { weight, bias, span, eps }, [x]) => self.layer_norm((*weight, *bias), *span, *eps, x),
            (Op::Activate { act }, [x]) => activate(*act, x),
            (Op::Slice { span, first, width }, [x]) => slice(*span, *first, *width, x),
            (Op::Concat { parts }, [a, b]) => concat(*parts, a, b),
            (Op::HeadLinear { weight }, [x]) => self.head_linear(*weight, x),
            (Op::Grow(growth), [x]) => grow(*growth, x),
            (Op::SoftCap { cap }, [x]) => positive("cap", *cap).and(if by_position(x) { Ok(*x) } else { pass(x) }),
            (Op::Rope(rope), [x]) => rotate(rope, x),
            (Op::RopeKvWrite { rope, layer }, [q, k, v]) => {
                let [q, k] = [rotate(rope, q)?, rotate(rope, k)?];
                self.kv_write(*layer, &k, v).map(|()| q)
            }
            (Op::Attention(attention), [q]) => self.attention(attention, q),
            (Op::Scores { layer, heads, scale }, [q]) => self.scores(*layer, *heads, *scale, q),
            (Op::Softmax { window, sinks }, [scores]) => self.softmax(*window, *sinks, scores),
            (Op::Weigh { layer }, [weights]) => self.weigh(*layer, weights),
            (Op::Quantize { span }, [x]) => quantize(*span, x),
            (Op::CausalConv { layer, weight }, [x]) => self.causal_conv(*layer, *weight, x),
            (Op::GatedDelta(delta), [q, k, v, decay, rate]) => self.gated_delta(delta, [q, k, v, decay, rate]),
            (Op::Scan(scan), [x, b, c, step]) => self.scan(scan, [x, b, c, step]),
            (Op::SelectOutputs, [x]) => select(x),
            (Op::Squash(_), [x]) => pass(x),
            (Op::KeepGroups(groups), [scores]) => keep_groups(*groups, scores),
            (Op::TopK { k }, [scores]) => top_k(*k, scores),
            (Op::GateWeights { .. }, [scores, ids]) => gate_weights(scores, ids),
            (Op::ExpertLinear { weight }, [x, ids]) => self.expert_linear(*weight, x, ids),
            (Op::ExpertBias { bias }, [x, ids]) => self.expert_bias(*bias, x, ids),
            (Op::ExpertScale { scale }, [x, ids]) => self.expert_scale(*scale, x, ids),
            (Op::ExpertSum, [x, weights]) => expert_sum(x, weights),
            _ => Err(format!("number of inputs is {}, must be {}", inputs.len(), op.arity())),
        }
    }

    fn linear(&self, weight: WeightId, x: &Typed) -> Checked {
        let (rows, cols) = self.matrix(weight)?;
        let info = self.operand(weight, x)?;
        require(info.width == cols, || format!("input is {} wide, the weight has {cols} columns", info.width))?;
        floats(info.rows, rows)
    }

    fn adapt(&self, weight: WeightId, y: &Typed, x: &Typed) -> Checked {
        let sums = self.linear(weight, x)?;
        same(y, &sums)
    }

    fn product(&self, op: &Product, residual: Option<&Typed>, x: &Typed) -> Result<Vec<Typed>, String> {
        let Product { weights, biases, end, quantize: rounded } = op;
        require(weights.len() == biases.len(), || format!("{} weights and {} biases", weights.len(), biases.len()))?;
        let sums = weights.iter().zip(biases).map(|(&weight, &bias)| self.biased(weight, bias, x));
        let sums = sums.collect::<Result<Vec<_>, _>>()?;
        let spans: Vec<_> = weights.iter().map(|id| self.weights[id.index()].span()).collect();
        let quantized = spans.iter().flatten().count();
        require(quantized == 0 || quantized == weights.len(), || "some weights are quantized, some are not".into())?;
        require(spans.windows(2).all(|two| two[0] == two[1]), || {
            "its weights need an input that is rounded in different spans".into()
        })?;
        let given = match (end, &sums[..], residual) {
            (End::Store, [_, ..], _) => sums,
            (End::Add, [sum], Some(residual)) => vec![same(residual, sum)?],
            (End::Glu(_), [gate, up], _) => vec![same(gate, up)?],
            _ => return Err(format!("its end does not take {} weights", weights.len())),
        };
        match given[..] {
            _ if !rounded => Ok(given),
            [one] => quantize(Elem::Q8_BLOCK, &one).map(|one| vec![one]),
            _ => Err("several values cannot be quantized".into()),
        }
    }

    /// x · weightᵀ + bias.
    fn biased(&self, weight: WeightId, bias: Option<WeightId>, x: &Typed) -> Checked {
        let sum = self.linear(weight, x)?;
        bias.map_or(Ok(sum), |bias| self.add_bias(bias, &sum))
    }

    /// Numbers, rounded or not, as a product with `weight` reads them.
    fn operand(&self, weight: WeightId, x: &Typed) -> Result<ValueInfo, String> {
        let Elem::Q8 { span } = x.info.elem else { return number(x) };
        match self.weight(weight, WeightRole::Matrix)?.span() {
            None => Err("the input is Q8, the weight is not quantized".into()),
            Some(own) if own != span => Err(format!("the input is rounded in spans of {span}, the weight needs {own}")),
            Some(_) => Ok(x.info),
        }
    }

    fn add_bias(&self, bias: WeightId, x: &Typed) -> Checked {
        let (len, width) = (self.vector(bias)?, number(x)?.width);
        require(len == width, || format!("input is {width} wide, the bias has {len} elements"))?;
        pass(x)
    }

    fn rms_norm(&self, weight: WeightId, eps: f32, rounded: bool, x: &Typed) -> Checked {
        let (span, width) = (self.vector(weight)?, number(x)?.width);
        require(divides(span, width), || format!("weight of {span} elements does not divide the width {width}"))?;
        require(eps.is_finite() && eps >= 0.0, || format!("eps {eps} is not a number of at least 0"))?;
        require(!rounded || span == width, || format!("quantizes rows of {width}, the weight has {span} elements"))?;
        if rounded { quantize(Elem::Q8_BLOCK, x) } else { pass(x) }
    }

    fn layer_norm(&self, (weight, bias): (WeightId, Option<WeightId>), span: usize, eps: f32, x: &Typed) -> Checked {
        let (rows, cols) = self.table(weight)?;
        let len = times("the weight's elements", rows, cols)?;
        require(divides(span, len), || format!("spans of {span} do not divide the weight's {len} elements"))?;
        require(eps.is_finite() && eps >= 0.0, || format!("eps {eps} is not a number of at least 0"))?;
        if let Some(bias) = bias {
            let other = self.vector(bias)?;
            require(other == len, || format!("the bias has {other} elements, the weight {len}"))?;
        }
        divided(len, x).and(pass(x))
    }

    fn head_linear(&self, weight: WeightId, x: &Typed) -> Checked {
        let shape = self.weight(weight, WeightRole::Matrix)?.shape;
        let (info, wanted) = (self.operand(weight, x)?, times("the heads' columns", shape.outer, shape.cols)?);
        require(info.width == wanted, || {
            format!("input is {} wide, {} heads of {} columns need {wanted}", info.width, shape.outer, shape.cols)
        })?;
        floats(info.rows, times("the heads' rows", shape.outer, shape.rows)?)
    }

    fn kv_write(&self, layer: usize, k: &Typed, v: &Typed) -> Result<(), String> {
        let (shape, written) = self.kv(layer)?;
        require(!written, || format!("layer {layer} is written twice"))?;
        let width = times("a layer's KV heads", shape.heads, shape.head_dim)?;
        for (what, value) in [("k", k), ("v", v)] {
            let info = number(value)?;
            require(info.rows == Rows::Tokens, || format!("{what} does not have a row for each token"))?;
            require(info.width == width, || format!("{what} is {} wide, layer {layer} keeps {width}", info.width))?;
        }
        Ok(())
    }

    fn attention(&self, attention: &Attention, q: &Typed) -> Checked {
        let Attention { layer, heads, scale, window, softcap, sinks, .. } = *attention;
        let scores = self.scores(layer, heads, scale, q)?;
        softcap.map_or(Ok(()), |cap| positive("softcap", cap))?;
        self.softmax(window, sinks, &scores)?;
        pass(q)
    }

    fn scores(&self, layer: usize, heads: usize, scale: f32, q: &Typed) -> Checked {
        let head_dim = self.read(layer, heads)?.head_dim;
        let (info, width) = (number(q)?, times("query heads", heads, head_dim)?);
        require(info.rows == Rows::Tokens, || "the queries do not have a row for each token".into())?;
        require(info.width == width, || {
            format!("queries are {} wide, {heads} heads of {head_dim} need {width}", info.width)
        })?;
        require(scale.is_finite(), || format!("scale {scale} is not finite"))?;
        Ok(Typed { info: ValueInfo { width: heads, elem: Elem::Positions, ..info }, below: 0 })
    }

    fn softmax(&self, window: Option<usize>, sinks: Option<WeightId>, scores: &Typed) -> Checked {
        let heads = positions(scores)?.width;
        require(window != Some(0), || "a window of 0 sees nothing".into())?;
        if let Some(sinks) = sinks {
            let len = self.vector(sinks)?;
            require(len == heads, || format!("{len} sinks for {heads} heads"))?;
        }
        Ok(*scores)
    }

    fn weigh(&self, layer: usize, weights: &Typed) -> Checked {
        let info = positions(weights)?;
        let head_dim = self.read(layer, info.width)?.head_dim;
        floats(info.rows, times("query heads", info.width, head_dim)?)
    }

    /// A layer of the cache that query heads may read.
    fn read(&self, layer: usize, heads: usize) -> Result<KvShape, String> {
        let (shape, written) = self.kv(layer)?;
        require(written, || format!("layer {layer} is read before it is written; append its kv_write first"))?;
        require(divides(shape.heads, heads), || {
            format!("{heads} query heads are not a multiple of layer {layer}'s {} KV heads", shape.heads)
        })?;
        Ok(shape)
    }

    fn expert_linear(&self, weight: WeightId, x: &Typed, ids: &Typed) -> Checked {
        let shape = self.weight(weight, WeightRole::Matrix)?.shape;
        let (info, k) = (self.operand(weight, x)?, self.slots(x, ids, shape.outer)?);
        let each = times("the slots' columns", k, shape.cols)?;
        require(info.width == shape.cols || info.width == each, || {
            format!("input is {} wide, the experts need {} (all slots the same) or {each}", info.width, shape.cols)
        })?;
        floats(info.rows, times("the slots' rows", k, shape.rows)?)
    }

    fn expert_bias(&self, bias: WeightId, x: &Typed, ids: &Typed) -> Checked {
        let (experts, width) = self.table(bias)?;
        let k = self.slots(x, ids, experts)?;
        let (given, wanted) = (number(x)?.width, times("the slots' widths", k, width)?);
        require(given == wanted, || format!("input is {given} wide, {k} slots of {width} need {wanted}"))?;
        pass(x)
    }

    fn expert_scale(&self, scale: WeightId, x: &Typed, ids: &Typed) -> Checked {
        let k = self.slots(x, ids, self.vector(scale)?)?;
        let width = number(x)?.width;
        require(divides(k, width), || format!("{k} slots do not divide the width {width}"))?;
        pass(x)
    }

    /// How many experts each row uses, after checking that `ids` suits `x` and a weight of `experts`.
    fn slots(&self, x: &Typed, ids: &Typed, experts: usize) -> Result<usize, String> {
        let info = indices(ids)?;
        require(info.rows == x.info.rows, || "input and ids do not have the same rows".into())?;
        require(ids.below <= experts, || format!("ids reach {}, the weight has {experts} experts", ids.below))?;
        Ok(info.width)
    }

    /// A weight that is declared for this role.
    fn weight(&self, id: WeightId, role: WeightRole) -> Result<&WeightInfo, String> {
        let info = self.weights.get(id.index()).ok_or("its weight is not declared in this graph")?;
        require(info.role == role, || {
            format!("a weight read as {role:?} is needed, it is declared as {:?}", info.role)
        })?;
        Ok(info)
    }

    /// Rows and columns of a plain matrix.
    fn matrix(&self, id: WeightId) -> Result<(usize, usize), String> {
        plain(self.weight(id, WeightRole::Matrix)?)
    }

    /// Rows and columns of elements.
    fn table(&self, id: WeightId) -> Result<(usize, usize), String> {
        plain(self.weight(id, WeightRole::Elements)?)
    }

    fn vector(&self, id: WeightId) -> Result<usize, String> {
        let shape = self.weight(id, WeightRole::Elements)?.shape;
        require(shape.outer == 1 && shape.rows == 1, || format!("a vector is needed, the weight is {shape}"))?;
        Ok(shape.cols)
    }

    /// The shape of a layer with keys and values, and whether it is written.
    fn kv(&self, layer: usize) -> Result<(KvShape, bool), String> {
        match self.layer(layer)? {
            Layer { memory: Memory::Kv(shape), written } => Ok((shape, written)),
            Layer { memory: Memory::Recurrent { .. }, .. } => {
                Err(format!("layer {layer} keeps a recurrent state, not keys and values"))
            }
        }
    }

    fn layer(&self, layer: usize) -> Result<Layer, String> {
        self.layers
            .get(layer)
            .copied()
            .ok_or_else(|| format!("the memory of layer {layer} is not declared in this graph"))
    }
}

fn plain(info: &WeightInfo) -> Result<(usize, usize), String> {
    let shape = info.shape;
    require(shape.outer == 1, || format!("a matrix is needed, the weight is {shape}"))?;
    Ok((shape.rows, shape.cols))
}

fn mul(a: &Typed, b: &Typed) -> Checked {
    let (wide, narrow) = (number(a)?, number(b)?);
    require(wide.rows == narrow.rows, || "the inputs do not have the same rows".into())?;
    require(divides(narrow.width, wide.width), || {
        format!("{} factors do not divide the width {}", narrow.width, wide.width)
    })?;
    pass(a)
}

fn unit_norm(span: usize, eps: f32, x: &Typed) -> Checked {
    let width = number(x)?.width;
    require(divides(span, width), || format!("spans of {span} elements do not divide the width {width}"))?;
    require(eps.is_finite() && eps >= 0.0, || format!("eps {eps} is not a number of at least 0"))?;
    pass(x)
}

fn same(a: &Typed, b: &Typed) -> Checked {
    require(number(a)? == number(b)?, || format!("inputs differ: {} and {}", a.info, b.info))?;
    pass(a)
}

fn rotate(rope: &Rope, x: &Typed) -> Checked {
    let info = number(x)?;
    let (head_dim, pairs) = (rope.head_dim, rope.freqs.len());
    require(info.rows == Rows::Tokens, || "only rows of tokens have positions".into())?;
    require(divides(head_dim, info.width), || format!("heads of {head_dim} do not divide the width {}", info.width))?;
    require(pairs <= head_dim / 2, || format!("{pairs} frequencies rotate {} of {head_dim} elements", 2 * pairs))?;
    require(rope.magnitude.is_finite(), || format!("magnitude {} is not finite", rope.magnitude))?;
    require(rope.freqs.iter().all(|f| f.is_finite()), || "a frequency is not finite".into())?;
    pass(x)
}

fn grow(growth: Growth, x: &Typed) -> Checked {
    require(x.info.rows == Rows::Tokens, || "only rows of tokens have positions".into())?;
    require(growth.every > 0, || "a step of the growth has no positions".into())?;
    require(growth.rate.is_finite(), || format!("rate {} is not finite", growth.rate))?;
    pass(x)
}

fn activate(act: Activation, x: &Typed) -> Checked {
    let gated = matches!(act, Activation::ClampedSilu { .. });
    require(!gated, || format!("{act:?} needs a gate and what it opens"))?;
    pass(x)
}

fn slice(span: usize, first: usize, width: usize, x: &Typed) -> Checked {
    let info = number(x)?;
    divided(span, x)?;
    let fits = first.checked_add(width).is_some_and(|end| width > 0 && end <= span);
    require(fits, || format!("{width} columns from {first} on are not in a span of {span}"))?;
    floats(info.rows, info.width / span * width)
}

fn concat(parts: usize, a: &Typed, b: &Typed) -> Checked {
    let (x, y) = (number(a)?, number(b)?);
    require(x.rows == y.rows, || "inputs do not have the same rows".into())?;
    divided_in(parts, a).and(divided_in(parts, b))?;
    floats(x.rows, x.width.checked_add(y.width).ok_or("the widths overflow")?)
}

fn keep_groups(groups: Groups, scores: &Typed) -> Checked {
    let (Groups { count, used, best }, width) = (groups, number(scores)?.width);
    divided_in(count, scores)?;
    require(used > 0 && used <= count, || format!("cannot keep {used} of {count} groups"))?;
    require(best > 0 && best <= width / count, || format!("cannot add up {best} of {} experts", width / count))?;
    pass(scores)
}

/// That spans of `span` divide the row.
fn divided(span: usize, x: &Typed) -> Result<(), String> {
    let width = number(x)?.width;
    require(divides(span, width), || format!("spans of {span} do not divide the width {width}"))
}

/// That the row has so many parts.
fn divided_in(parts: usize, x: &Typed) -> Result<(), String> {
    let width = number(x)?.width;
    require(divides(parts, width), || format!("a width of {width} is not {parts} equal parts"))
}

fn select(x: &Typed) -> Checked {
    require(x.info.rows == Rows::Tokens, || "the outputs are already selected".into())?;
    require(!matches!(x.info.elem, Elem::Q8 { .. }), || "an input is Q8; select before it is quantized".into())?;
    require(!by_position(x), || "an input holds numbers by position, which stay with their row".into())?;
    Ok(Typed { info: ValueInfo { rows: Rows::Outputs, ..x.info }, ..*x })
}

fn quantize(span: usize, x: &Typed) -> Checked {
    let (info, block) = (number(x)?, Elem::Q8_BLOCK);
    require(divides(block, span), || format!("a span of {span} is not whole blocks of {block}"))?;
    require(divides(span, info.width), || format!("a width of {} is not whole blocks of {span}", info.width))?;
    Ok(Typed { info: ValueInfo { elem: Elem::Q8 { span }, ..info }, ..*x })
}

fn top_k(k: usize, scores: &Typed) -> Checked {
    let info = number(scores)?;
    require(k > 0 && k <= info.width, || format!("cannot choose {k} of {} experts", info.width))?;
    Ok(Typed { info: ValueInfo { width: k, elem: Elem::U32, ..info }, below: info.width })
}

fn gate_weights(scores: &Typed, ids: &Typed) -> Checked {
    let (scores, k) = (number(scores)?, indices(ids)?);
    require(scores.rows == k.rows, || "scores and ids do not have the same rows".into())?;
    require(ids.below <= scores.width, || format!("ids reach {}, there are {} scores", ids.below, scores.width))?;
    floats(k.rows, k.width)
}

fn expert_sum(x: &Typed, weights: &Typed) -> Checked {
    let (x, weights) = (number(x)?, number(weights)?);
    require(x.rows == weights.rows, || "input and weights do not have the same rows".into())?;
    require(divides(weights.width, x.width), || {
        format!("{} slots do not divide the width {}", weights.width, x.width)
    })?;
    floats(x.rows, x.width / weights.width)
}

/// A value of the same type as `x`, which must be numbers.
fn pass(x: &Typed) -> Checked {
    number(x).map(|_| *x)
}

fn floats(rows: Rows, width: usize) -> Checked {
    require(width > 0, || "gives a value of width 0".into())?;
    Ok(Typed { info: ValueInfo { rows, width, elem: Elem::F32 }, below: 0 })
}

fn number(x: &Typed) -> Result<ValueInfo, String> {
    match x.info.elem {
        Elem::F32 => Ok(x.info),
        Elem::U32 => Err("an input holds indices where numbers are needed".into()),
        Elem::Q8 { .. } => Err("an input is Q8 where F32 is needed".into()),
        Elem::Positions => Err("an input holds numbers by position where a row's own are needed".into()),
    }
}

fn positions(x: &Typed) -> Result<ValueInfo, String> {
    require(by_position(x), || "an input does not hold a number for each position".into())?;
    Ok(x.info)
}

fn by_position(x: &Typed) -> bool {
    x.info.elem == Elem::Positions
}

fn indices(x: &Typed) -> Result<ValueInfo, String> {
    require(x.info.elem == Elem::U32, || "an input holds numbers where indices are needed".into())?;
    Ok(x.info)
}

fn times(what: &str, a: usize, b: usize) -> Result<usize, String> {
    a.checked_mul(b).ok_or_else(|| format!("{what} overflow: {a} times {b}"))
}

fn divides(part: usize, whole: usize) -> bool {
    part > 0 && whole > 0 && whole.is_multiple_of(part)
}

fn positive(what: &str, x: f32) -> Result<(), String> {
    require(x.is_finite() && x > 0.0, || format!("{what} {x} is not a positive number"))
}

fn require(holds: bool, reason: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(reason()) }
}
