//! Operators of mixtures of experts.

use tensor::Shape;

use crate::{GateScoring, Groups, Op, Squash, WeightId};

use super::attention::softmax;
use super::{Matrix, rowwise};

/// What the operators around experts give.
pub(super) fn compute<'a>(
    op: &Op,
    matrix: impl Fn(usize) -> Matrix<'a>,
    weight: impl Fn(WeightId) -> &'a [f32],
    shape: impl Fn(WeightId) -> Shape,
) -> Vec<f32> {
    match op {
        Op::Squash(by) => squash(*by, matrix(0)),
        Op::KeepGroups(groups) => keep_groups(*groups, matrix(0)),
        Op::TopK { k } => top_k(matrix(0), *k),
        Op::GateWeights { scoring } => gate_weights(*scoring, matrix(0), matrix(1)),
        Op::ExpertLinear { weight: id } => linear(matrix(0), matrix(1), weight(*id), shape(*id)),
        Op::ExpertBias { bias: id } => bias(matrix(0), matrix(1), weight(*id), shape(*id).cols),
        Op::ExpertScale { scale: id } => scale(matrix(0), matrix(1), weight(*id)),
        Op::ExpertSum => sum(matrix(0), matrix(1)),
        _ => unreachable!("computed by another function"),
    }
}

fn squash(squash: Squash, x: Matrix) -> Vec<f32> {
    let row = |row: &[f32]| match squash {
        Squash::Sigmoid => row.iter().map(|&x| rowwise::sigmoid(x)).collect(),
        Squash::Softmax => {
            let mut weights = row.to_vec();
            softmax(&mut weights);
            weights
        }
    };
    x.rows().flat_map(row).collect()
}

/// −∞ for experts of all groups but the best.
fn keep_groups(groups: Groups, scores: Matrix) -> Vec<f32> {
    let Groups { count, used, best } = groups;
    let row = |row: &[f32]| {
        let each = row.len() / count;
        let merit = |group: &[f32]| largest(group, best).into_iter().map(|id| group[id as usize]).sum::<f32>();
        let merits: Vec<f32> = row.chunks_exact(each).map(merit).collect();
        let kept = largest(&merits, used);
        let keep = |(id, &x)| if kept.contains(&((id / each) as u32)) { x } else { f32::NEG_INFINITY };
        row.iter().enumerate().map(keep).collect::<Vec<_>>()
    };
    scores.rows().flat_map(row).collect()
}

fn top_k(scores: Matrix, k: usize) -> Vec<f32> {
    scores.rows().flat_map(|scores| largest(scores, k)).map(f32::from_bits).collect()
}

/// The `k` largest, one after the other; of equals (and of what cannot be compared) the first.
fn largest(scores: &[f32], k: usize) -> Vec<u32> {
    let mut left: Vec<usize> = (0..scores.len()).collect();
    let take = |_| {
        let best = (0..left.len()).reduce(|best, i| if scores[left[i]] > scores[left[best]] { i } else { best });
        best.map_or(0, |best| left.remove(best) as u32)
    };
    (0..k).map(take).collect()
}

fn gate_weights(scoring: GateScoring, scores: Matrix, ids: Matrix) -> Vec<f32> {
    let weigh = |(scores, ids): (&[f32], &[f32])| match scoring {
        GateScoring::SoftmaxChosen => {
            let mut chosen: Vec<f32> = ids.iter().map(|&id| scores[index(id)]).collect();
            softmax(&mut chosen);
            chosen
        }
        GateScoring::Kept => ids.iter().map(|&id| scores[index(id)]).collect(),
        GateScoring::Shared => {
            let chosen: Vec<f32> = ids.iter().map(|&id| scores[index(id)]).collect();
            let total: f32 = chosen.iter().sum();
            chosen.iter().map(|x| x / total.max(f32::MIN_POSITIVE)).collect()
        }
        GateScoring::SoftmaxAll => {
            let mut weights = scores.to_vec();
            softmax(&mut weights);
            ids.iter().map(|&id| weights[index(id)]).collect()
        }
    };
    scores.rows().zip(ids.rows()).flat_map(weigh).collect()
}

/// Experts' matrices, of `shape`, by slot; `x` has one row for all slots or one for each.
fn linear(x: Matrix, ids: Matrix, weight: &[f32], shape: Shape) -> Vec<f32> {
    let (cols, matrix) = (shape.cols, shape.rows * shape.cols);
    let row = |(x, ids): (&[f32], &[f32])| {
        let slot = |(x, &id): (&[f32], &f32)| rowwise::linear(x, &weight[index(id) * matrix..][..matrix], cols);
        x.chunks_exact(cols).cycle().zip(ids).flat_map(slot).collect::<Vec<_>>()
    };
    x.rows().zip(ids.rows()).flat_map(row).collect()
}

fn bias(x: Matrix, ids: Matrix, bias: &[f32], width: usize) -> Vec<f32> {
    let slot = |(x, &id): (&[f32], &f32)| rowwise::add_bias(x, &bias[index(id) * width..][..width]);
    x.data.chunks_exact(width).zip(ids.data).flat_map(slot).collect()
}

fn scale(x: Matrix, ids: Matrix, scale: &[f32]) -> Vec<f32> {
    let slot = |(x, &id): (&[f32], &f32)| x.iter().map(|x| x * scale[index(id)]).collect::<Vec<_>>();
    x.data.chunks_exact(x.width / ids.width).zip(ids.data).flat_map(slot).collect()
}

fn sum(x: Matrix, weights: Matrix) -> Vec<f32> {
    let width = x.width / weights.width;
    let row = |(x, weights): (&[f32], &[f32])| {
        let mut out = vec![0.0; width];
        for (x, weight) in x.chunks_exact(width).zip(weights) {
            out.iter_mut().zip(x).for_each(|(out, x)| *out += weight * x);
        }
        out
    };
    x.rows().zip(weights.rows()).flat_map(row).collect()
}

/// An index from the bits it is kept in.
fn index(bits: f32) -> usize {
    bits.to_bits() as usize
}
