//! The texts of kernels: one for each family, specialised by constants in front of it.

use graph::KvType;
use tensor::DType;

use crate::formats;

/// A family of kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Family {
    Product,
    /// Products by matrix units.
    Matrix,
    Embed,
    Norm,
    Rows,
    Rope,
    KvWrite,
    Attention,
    Top,
    Experts,
    Recurrent,
    Copies,
    Positions,
}

/// A kernel: a family, the constants that specialise it, and how the weight or the cache that it reads is stored.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Kernel {
    pub(crate) family: Family,
    pub(crate) constants: Vec<(&'static str, u32)>,
    pub(crate) dtype: Option<DType>,
    pub(crate) kv_type: Option<KvKey>,
}

/// [`KvType`] that can be looked up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum KvKey {
    F32,
    F16,
    Q8,
    Q4,
}

impl From<KvType> for KvKey {
    fn from(kv_type: KvType) -> KvKey {
        match kv_type {
            KvType::F32 => KvKey::F32,
            KvType::F16 => KvKey::F16,
            KvType::Q8_0 => KvKey::Q8,
            KvType::Q4_0 => KvKey::Q4,
        }
    }
}

/// Names for the values of constants, by family.
macro_rules! names {
    ($($family:ident { $($id:ident),* })*) => {
        $(#[allow(dead_code)]
        pub(crate) mod $family {
            names!(@ 0u32; $($id)*);
            pub(crate) const NAMES: &[&str] = &[$(stringify!($id)),*];
        })*
    };
    (@ $n:expr; $id:ident $($rest:ident)*) => {
        pub(crate) const $id: u32 = $n;
        names!(@ $n + 1; $($rest)*);
    };
    (@ $n:expr;) => {};
}

names! {
    rows { ADD, MUL, SCALE, SCALE_BY, ADD_BIAS, GROW, SOFT_CAP, GLU, ACTIVATE, SLICE, CONCAT, SELECT, EXPERT_BIAS,
           EXPERT_SCALE, EXPERT_SUM }
    acts { SILU, SIGMOID, GELU_TANH, GELU_ERF, RELU, SQUARED_RELU, XIELU, SOFTPLUS, CLAMPED_SILU }
    experts { TOP_K, KEEP_GROUPS, SQUASH_SIGMOID, SQUASH_SOFTMAX, SOFTMAX_CHOSEN, SOFTMAX_ALL, KEPT, SHARED }
    recurrent { CONV, DELTA_GROUPED, DELTA_TILED, SCAN }
    positions { SCORES, CAP, SOFTMAX, WEIGH }
    attention { WHOLE, PART, MERGE }
    top { CHUNK, MERGE }
}

/// What a text with matrix units begins with.
const UNITS: &str = "enable f16;\nenable wgpu_cooperative_matrix;\n";
/// The constant of one without.
const EMULATED: (&str, u32) = ("EMULATED", 1);

impl Kernel {
    pub(crate) fn new(family: Family, constants: &[(&'static str, u32)]) -> Kernel {
        Kernel { family, constants: constants.to_vec(), dtype: None, kv_type: None }
    }

    pub(crate) fn reads(self, dtype: DType) -> Kernel {
        Kernel { dtype: Some(dtype), ..self }
    }

    pub(crate) fn over(self, kv_type: KvType) -> Kernel {
        Kernel { kv_type: Some(kv_type.into()), ..self }
    }

    /// What it is called in messages and traces.
    pub fn label(&self) -> String {
        let constants = self.constants.iter().map(|(name, value)| format!(" {name}={value}"));
        let stored = self.dtype.map(|dtype| format!(" {dtype}"));
        let cache = self.kv_type.map(|kv_type| format!(" {kv_type:?}"));
        let parts = stored.into_iter().chain(cache).chain(constants);
        format!("{:?}{}", self.family, parts.collect::<String>()).to_lowercase()
    }

    /// Its text: WGSL, with an entry `main`.
    pub fn source(&self) -> String {
        let mut text = if self.uses_units() { UNITS.to_owned() } else { String::new() };
        let named = |names: &[&'static str]| names.iter().copied().zip(0..).collect::<Vec<_>>();
        let constants = self.constants.iter().copied().chain(match self.family {
            Family::Rows => named(rows::NAMES).into_iter().chain(named(acts::NAMES)).collect::<Vec<_>>(),
            Family::Product => named(acts::NAMES),
            Family::Experts => named(experts::NAMES),
            Family::Recurrent => named(recurrent::NAMES),
            Family::Positions => named(positions::NAMES),
            Family::Attention => named(attention::NAMES),
            Family::Top => named(top::NAMES),
            _ => vec![],
        });
        for (name, value) in constants {
            text += &format!("const {name}: u32 = {value}u;\n");
        }
        self.parts().into_iter().for_each(|part| text += part);
        text
    }

    /// Whether it needs matrix units.
    pub fn uses_units(&self) -> bool {
        self.family == Family::Matrix && !self.constants.contains(&EMULATED)
    }

    /// The files it is made of.
    fn parts(&self) -> Vec<&'static str> {
        let mut parts = vec![include_str!("wgsl/common.wgsl")];
        parts.push(match self.family {
            Family::Product => include_str!("wgsl/product.wgsl"),
            Family::Matrix => include_str!("wgsl/matrix/product.wgsl"),
            Family::Embed => include_str!("wgsl/embed.wgsl"),
            Family::Norm => include_str!("wgsl/norm.wgsl"),
            Family::Rows => include_str!("wgsl/rows.wgsl"),
            Family::Rope => include_str!("wgsl/rope.wgsl"),
            Family::KvWrite => include_str!("wgsl/kv_write.wgsl"),
            Family::Attention => include_str!("wgsl/attention.wgsl"),
            Family::Top => include_str!("wgsl/top.wgsl"),
            Family::Experts => include_str!("wgsl/experts.wgsl"),
            Family::Recurrent => include_str!("wgsl/recurrent.wgsl"),
            Family::Copies => include_str!("wgsl/copies.wgsl"),
            Family::Positions => include_str!("wgsl/positions.wgsl"),
        });
        parts.extend(self.dtype.iter().flat_map(|&dtype| formats::texts(dtype)));
        if let Family::Product | Family::Matrix = self.family {
            parts.push(include_str!("wgsl/product_params.wgsl"));
        }
        match self.family {
            Family::Product | Family::Rows => parts.push(include_str!("wgsl/activation.wgsl")),
            Family::Matrix if self.uses_units() => parts.push(include_str!("wgsl/matrix/units.wgsl")),
            Family::Matrix => parts.push(include_str!("wgsl/matrix/emulated.wgsl")),
            Family::Rope => parts.push(include_str!("wgsl/rotation.wgsl")),
            Family::KvWrite => {
                parts.push(include_str!("wgsl/rotation.wgsl"));
                parts.push(include_str!("wgsl/kv/half.wgsl"));
                parts.extend(self.kv_type.map(|kv_type| match kv_type {
                    KvKey::F32 => include_str!("wgsl/kv/write_f32.wgsl"),
                    KvKey::F16 => include_str!("wgsl/kv/write_f16.wgsl"),
                    KvKey::Q8 => include_str!("wgsl/kv/write_q8_0.wgsl"),
                    KvKey::Q4 => include_str!("wgsl/kv/write_q4_0.wgsl"),
                }));
            }
            Family::Attention | Family::Positions => parts.extend(self.kv_type.map(|kv_type| match kv_type {
                KvKey::F32 => include_str!("wgsl/kv/f32.wgsl"),
                KvKey::F16 => include_str!("wgsl/kv/f16.wgsl"),
                KvKey::Q8 => include_str!("wgsl/kv/q8_0.wgsl"),
                KvKey::Q4 => include_str!("wgsl/kv/q4_0.wgsl"),
            })),
            _ => {}
        }
        parts
    }
}

/// A kernel of every family in every specialisation of types and operators, with sizes of a small model: what tests translate.
pub fn all() -> Vec<Kernel> {
    let mut all =
        vec![Kernel::new(Family::Copies, &[("OF_STATES", 0)]), Kernel::new(Family::Copies, &[("OF_STATES", 1)])];
    for dtype in formats::supported() {
        for (m, slots, end, gated) in [(1, 0, 0, 0), (8, 0, 1, 0), (1, 1, 0, 0), (1, 2, 0, 0), (8, 0, 0, 1)] {
            let guard = u32::from(dtype.layout().block_len == 1);
            let constants =
                [("LANES", 32), ("R", 4), ("M", m), ("SLOTS", slots), ("END", end), ("BIAS", end), ("GUARD", guard)];
            let count = [("COUNT", slots % 2), ("GATED", gated), ("ACT", 0)];
            all.push(Kernel::new(Family::Product, &[&constants[..], &count].concat()).reads(dtype));
        }
        for (tall, emulated, end) in [(1, 0, 0), (4, 0, 1), (1, 1, 1), (4, 1, 0)] {
            let sizes = [("LANES", 32), ("TALL", tall), ("EMULATED", emulated), ("COUNT", 0)];
            let ends = [("END", end), ("BIAS", end), ("GUARD", u32::from(dtype.layout().block_len == 1))];
            all.push(Kernel::new(Family::Matrix, &[&sizes[..], &ends].concat()).reads(dtype));
        }
        all.push(Kernel::new(Family::Embed, &[]).reads(dtype));
    }
    for [center, beyond, weight, bias] in [[0, 0, 1, 0], [1, 0, 1, 1], [0, 0, 0, 0], [1, 1, 0, 0]] {
        let constants = [("LANES", 64), ("CENTER", center), ("BEYOND", beyond), ("WEIGHT", weight), ("BIAS", bias)];
        all.push(Kernel::new(Family::Norm, &constants));
    }
    all.extend((0..rows::NAMES.len() as u32).map(|op| Kernel::new(Family::Rows, &[("OP", op), ("ACT", 0)])));
    let acts = 0..acts::NAMES.len() as u32;
    all.extend(acts.map(|act| Kernel::new(Family::Rows, &[("OP", rows::ACTIVATE), ("ACT", act)])));
    all.extend((0..2).map(|pairs| Kernel::new(Family::Rope, &[("PAIRS", pairs)])));
    for kv_type in KvType::all() {
        for (turn, pairs) in [(0, 0), (1, 0), (1, 1)] {
            all.push(Kernel::new(Family::KvWrite, &[("TURN", turn), ("PAIRS", pairs)]).over(kv_type));
        }
        for (step, other) in (0..attention::NAMES.len() as u32).flat_map(|step| [(step, 0), (step, 1)]) {
            let constants =
                [("STEP", step), ("LANES", 64), ("UNIT", 256), ("HEAD_PAIRS", 64), ("CAP", other), ("SINKS", other)];
            all.push(Kernel::new(Family::Attention, &constants).over(kv_type));
        }
        let ops = 0..positions::NAMES.len() as u32;
        all.extend(ops.map(|op| Kernel::new(Family::Positions, &[("OP", op), ("SINKS", 1)]).over(kv_type)));
    }
    all.extend(
        (0..top::NAMES.len() as u32)
            .map(|step| Kernel::new(Family::Top, &[("STEP", step), ("LANES", 256), ("CHUNK_LEN", 4096), ("LISTS", 1)])),
    );
    let experts = 0..experts::NAMES.len() as u32;
    all.extend(experts.map(|op| Kernel::new(Family::Experts, &[("OP", op), ("COUNT", 0)])));
    all.extend((0..recurrent::NAMES.len() as u32).map(|op| Kernel::new(Family::Recurrent, &[("OP", op)])));
    all
}
