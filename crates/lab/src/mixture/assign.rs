//! The best types within a budget: a Lagrangian relaxation, solved exactly.
//!
//! For a price per byte, each matrix takes the type for which loss and price are least together: a corner of its own lower convex hull. As
//! the price falls, one matrix after the other moves to its next corner, those first that gain most per byte. So all edges of all hulls,
//! sorted by what they gain, are the Pareto front. Time is a price as bytes are.

use std::collections::BTreeMap;

use tensor::DType;

use super::{Choice, Sensitivity};

/// What must be kept to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Budget {
    /// Bytes of all matrices at most.
    Bytes(u64),
    /// Loss at most, as the sensitivities predict it.
    Loss(f64),
    /// Time of a decoded token at most, where the reference's is 1.
    Time(f64),
}

/// What is paid for a choice.
type Price = fn(&Choice) -> f64;

impl Budget {
    fn price(self) -> Price {
        match self {
            Budget::Bytes(_) | Budget::Loss(_) => bytes,
            Budget::Time(_) => |choice| choice.time,
        }
    }
}

fn bytes(choice: &Choice) -> f64 {
    choice.bytes as f64
}

/// A point of the front: what is chosen, and what it costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Bytes of all matrices.
    pub bytes: u64,
    /// The sum of the losses.
    pub loss: f64,
    /// The type of each matrix.
    pub types: BTreeMap<String, DType>,
}

/// A matrix moves to its next corner.
struct Edge {
    matrix: usize,
    from: usize,
    to: usize,
    /// Loss that a unit of the price saves.
    gain: f64,
}

/// The corners of the lower convex hull of a matrix's choices, cheapest first. A choice whose loss is no number is none.
fn hull(matrix: &Sensitivity, price: Price) -> Vec<usize> {
    let choices = &matrix.choices;
    let mut order: Vec<usize> = (0..choices.len()).filter(|i| choices[*i].loss.is_finite()).collect();
    let by_price = |a: usize, b: usize| price(&choices[a]).total_cmp(&price(&choices[b]));
    order.sort_by(|&a, &b| by_price(a, b).then(choices[a].loss.total_cmp(&choices[b].loss)));
    let mut corners: Vec<usize> = Vec::new();
    for next in order {
        if corners.last().is_some_and(|last| choices[next].loss >= choices[*last].loss) {
            continue;
        }
        let gain = |from: usize, to: usize| gain(&choices[from], &choices[to], price);
        while let [.., a, b] = corners[..]
            && gain(a, b) <= gain(b, next)
        {
            corners.pop();
        }
        corners.push(next);
    }
    corners
}

/// The loss that a unit of the price saves from one choice to another.
fn gain(from: &Choice, to: &Choice, price: Price) -> f64 {
    (from.loss - to.loss) / (price(to) - price(from))
}

/// All edges, those that gain most first.
fn edges(hulls: &[Vec<usize>], matrices: &[Sensitivity], price: Price) -> Vec<Edge> {
    let of = |(matrix, hull): (usize, &Vec<usize>)| {
        let choices = &matrices[matrix].choices;
        let edge = |pair: &[usize]| {
            let (from, to) = (pair[0], pair[1]);
            Edge { matrix, from, to, gain: gain(&choices[from], &choices[to], price) }
        };
        hull.windows(2).map(edge).collect::<Vec<_>>()
    };
    let mut edges: Vec<Edge> = hulls.iter().enumerate().flat_map(of).collect();
    // Of one matrix they stay in their order, as a convex hull's gains fall.
    edges.sort_by(|a, b| b.gain.total_cmp(&a.gain));
    edges
}

/// Which choice each matrix has; `None` where it has none.
type Chosen = Vec<Option<usize>>;

fn point(matrices: &[Sensitivity], chosen: &Chosen) -> Point {
    let mut point = Point { bytes: 0, loss: 0.0, types: BTreeMap::new() };
    for (matrix, choice) in matrices.iter().zip(chosen) {
        let Some(choice) = choice.map(|index| &matrix.choices[index]) else { continue };
        point.bytes += choice.bytes;
        point.loss += choice.loss;
        point.types.insert(matrix.name.clone(), choice.dtype);
    }
    point
}

/// The Pareto front, fewest bytes first.
pub fn front(matrices: &[Sensitivity]) -> Vec<Point> {
    let hulls: Vec<Vec<usize>> = matrices.iter().map(|matrix| hull(matrix, bytes)).collect();
    let mut chosen: Chosen = hulls.iter().map(|hull| hull.first().copied()).collect();
    let mut front = vec![point(matrices, &chosen)];
    for edge in edges(&hulls, matrices, bytes) {
        chosen[edge.matrix] = Some(edge.to);
        front.push(point(matrices, &chosen));
    }
    front
}

/// The best choice within the budget: the last point of the front that keeps to it, and what else of later edges still fits; `None` if even
/// the smallest choice is too large, or the largest loses too much.
pub fn assign(matrices: &[Sensitivity], budget: Budget) -> Option<Point> {
    let price = budget.price();
    let hulls: Vec<Vec<usize>> = matrices.iter().map(|matrix| hull(matrix, price)).collect();
    let mut chosen: Chosen = hulls.iter().map(|hull| hull.first().copied()).collect();
    let (mut paid, mut loss) = (0.0, 0.0);
    for (matrix, choice) in matrices.iter().zip(&chosen) {
        let choice = choice.map(|index| &matrix.choices[index]);
        (paid, loss) = (paid + choice.map_or(0.0, price), loss + choice.map_or(0.0, |choice| choice.loss));
    }
    let limit = match budget {
        Budget::Bytes(bytes) => bytes as f64,
        Budget::Time(time) => time,
        Budget::Loss(_) => f64::INFINITY,
    };
    for edge in edges(&hulls, matrices, price) {
        let (from, to) = (&matrices[edge.matrix].choices[edge.from], &matrices[edge.matrix].choices[edge.to]);
        let more = price(to) - price(from);
        let fits = match budget {
            Budget::Loss(most) => loss > most,
            _ => paid + more <= limit && chosen[edge.matrix] == Some(edge.from),
        };
        if fits {
            chosen[edge.matrix] = Some(edge.to);
            (paid, loss) = (paid + more, loss - (from.loss - to.loss));
        }
    }
    let kept = match budget {
        Budget::Loss(most) => point(matrices, &chosen).loss <= most * (1.0 + 1e-9),
        _ => paid <= limit,
    };
    kept.then(|| point(matrices, &chosen))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matrix(name: &str, choices: &[(DType, u64, f64)]) -> Sensitivity {
        // Fifth bits are slow here.
        let time =
            |dtype| [(DType::Q4_0, 1.0), (DType::Q5_0, 3.0)].iter().find(|of| of.0 == dtype).map_or(2.0, |of| of.1);
        let choice =
            |&(dtype, bytes, loss): &(DType, u64, f64)| Choice { dtype, bytes, error: loss, loss, time: time(dtype) };
        Sensitivity { name: name.into(), choices: choices.iter().map(choice).collect(), measured: true }
    }

    fn two() -> Vec<Sensitivity> {
        vec![
            matrix("a", &[(DType::Q4_0, 10, 8.0), (DType::Q5_0, 12, 7.9), (DType::Q8_0, 20, 0.0)]),
            matrix("b", &[(DType::Q4_0, 10, 1.0), (DType::Q8_0, 20, 0.5)]),
        ]
    }

    fn check(budget: Budget, expected: Option<[DType; 2]>) {
        let found = assign(&two(), budget);
        let types = found.as_ref().map(|point| [point.types["a"], point.types["b"]]);
        assert_eq!(types, expected, "{budget:?}: {found:?}");
    }

    #[test]
    fn bytes_go_where_they_gain_most() {
        check(Budget::Bytes(40), Some([DType::Q8_0, DType::Q8_0]));
        check(Budget::Bytes(39), Some([DType::Q8_0, DType::Q4_0]));
        check(Budget::Bytes(30), Some([DType::Q8_0, DType::Q4_0]));
        check(Budget::Bytes(29), Some([DType::Q4_0, DType::Q4_0]));
        check(Budget::Bytes(19), None);
        check(Budget::Loss(9.0), Some([DType::Q4_0, DType::Q4_0]));
        check(Budget::Loss(1.0), Some([DType::Q8_0, DType::Q4_0]));
        check(Budget::Loss(0.7), Some([DType::Q8_0, DType::Q8_0]));
        check(Budget::Loss(0.4), None);
        check(Budget::Time(4.0), Some([DType::Q8_0, DType::Q8_0]));
        check(Budget::Time(3.5), Some([DType::Q8_0, DType::Q4_0]));
        check(Budget::Time(2.5), Some([DType::Q4_0, DType::Q4_0]));
        check(Budget::Time(1.9), None);
    }

    #[test]
    fn choices_that_are_no_numbers_are_not_taken() {
        let matrices = [matrix("a", &[(DType::Q4_0, 10, f64::NAN), (DType::Q8_0, 20, 0.5)])];
        let point = assign(&matrices, Budget::Bytes(100)).expect("one is left");
        assert_eq!(point.types["a"], DType::Q8_0);
        assert!(assign(&matrices, Budget::Bytes(15)).is_none());
    }

    proptest! {
        /// No choice of types is smaller and better than a point of the front.
        #[test]
        fn the_front_is_not_dominated(losses in prop::collection::vec(prop::collection::vec((1u64..50, 0.0f64..9.0), 1..4), 1..4)) {
            let matrices: Vec<Sensitivity> = losses.iter().enumerate().map(|(i, choices)| {
                let choices: Vec<_> = choices.iter().map(|(bytes, loss)| (DType::Q4_0, *bytes, *loss)).collect();
                matrix(&i.to_string(), &choices)
            }).collect();
            let front = front(&matrices);
            let mut all = vec![(0, 0.0)];
            for matrix in &matrices {
                let with = |(bytes, loss): (u64, f64)| matrix.choices.iter().map(move |c| (bytes + c.bytes, loss + c.loss));
                all = all.into_iter().flat_map(with).collect();
            }
            for point in &front {
                for (bytes, loss) in &all {
                    prop_assert!(*bytes >= point.bytes || *loss >= point.loss - 1e-9, "{bytes} {loss} {point:?}");
                }
                let found = assign(&matrices, Budget::Bytes(point.bytes)).expect("it fits");
                prop_assert!(found.bytes <= point.bytes && found.loss <= point.loss + 1e-9);
            }
        }
    }
}
