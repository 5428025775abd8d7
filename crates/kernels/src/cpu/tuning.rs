//! Which kernels a program uses, told from any thread between two steps, and how long they take.

use std::sync::atomic::{AtomicBool, Ordering::AcqRel, Ordering::Release};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::named::{Kernel, RowClass};

/// The kernels of each node of a graph, one for each [`RowClass`].
pub type Choice = Vec<[Kernel; RowClass::ALL.len()]>;

/// Steps whose times are kept until somebody takes them.
const MOST_STEPS: usize = 1 << 14;

/// Speaks with a program from any thread. Clones speak with the same one.
#[derive(Clone, Debug)]
pub struct Tuning(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// By node.
    ways: Vec<Vec<Kernel>>,
    /// Whether something was told that the program has not heard.
    news: AtomicBool,
    /// Held by the program only where there is news, or something to tell: a step takes no lock else.
    board: Mutex<Board>,
}

/// What both sides write.
#[derive(Debug)]
struct Board {
    chosen: Choice,
    trial: Option<Trial>,
    measure: bool,
    steps: Vec<StepTime>,
    /// By node and class.
    times: Vec<[NodeTime; RowClass::ALL.len()]>,
}

/// Other kernels on a share of the steps.
#[derive(Clone, Debug)]
struct Trial {
    candidate: Choice,
    share: f64,
    seed: u64,
}

/// How long a step took, while other kernels are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepTime {
    /// Whether it used the kernels that are tried.
    pub candidate: bool,
    /// Its rows.
    pub rows: usize,
    /// Its rows whose outputs were wanted.
    pub outputs: usize,
    /// Positions that its rows see together.
    pub context: usize,
    /// The time.
    pub took: Duration,
}

/// How long a node took, over some steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeTime {
    /// How many steps.
    pub steps: u64,
    /// All together.
    pub total: Duration,
}

impl Tuning {
    /// Of a program whose nodes have these ways.
    pub(crate) fn new(ways: Vec<Vec<Kernel>>) -> Tuning {
        let chosen = vec![Default::default(); ways.len()];
        let times = vec![Default::default(); ways.len()];
        let board = Board { chosen, trial: None, measure: false, steps: Vec::new(), times };
        Tuning(Arc::new(Shared { ways, news: AtomicBool::new(false), board: Mutex::new(board) }))
    }

    /// The ways that each node has, `auto` first; none where there is no choice.
    pub fn ways(&self) -> &[Vec<Kernel>] {
        &self.0.ways
    }

    /// The kernels that are used.
    pub fn chosen(&self) -> Choice {
        self.lock().chosen.clone()
    }

    /// Uses these kernels from the next step on. A kernel that a node does not have, or not for so few rows, is `auto` there.
    pub fn choose(&self, choice: Choice) {
        self.tell(|board| board.chosen = self.fitted(choice));
    }

    /// Uses other kernels on a share of the steps, chosen by a hash of their number and `seed`; their times, and those of the other
    /// steps, can be taken. It takes the place of the trial before.
    pub fn try_out(&self, candidate: Choice, share: f64, seed: u64) {
        let trial = Trial { candidate: self.fitted(candidate), share, seed };
        self.tell(|board| {
            board.steps.clear();
            board.trial = Some(trial);
        });
    }

    /// Ends the trial; the kernels that are chosen stay.
    pub fn end_trial(&self) {
        self.tell(|board| board.trial = None);
    }

    /// Steps of the trial since they were last taken, in order; of very many the first ones.
    pub fn take_steps(&self) -> Vec<StepTime> {
        std::mem::take(&mut self.lock().steps)
    }

    /// Whether each node is timed, which costs a look at the clock for each.
    pub fn measure(&self, on: bool) {
        self.tell(|board| board.measure = on);
    }

    /// How long each node took since this was last asked, by [`RowClass`].
    pub fn take_times(&self) -> Vec<[NodeTime; RowClass::ALL.len()]> {
        let mut board = self.lock();
        let empty = vec![Default::default(); board.times.len()];
        std::mem::replace(&mut board.times, empty)
    }

    fn fitted(&self, mut choice: Choice) -> Choice {
        choice.resize(self.0.ways.len(), Default::default());
        for (kernels, ways) in choice.iter_mut().zip(&self.0.ways) {
            for kernel in kernels {
                let has = |way: &Kernel| way.inner == kernel.inner;
                if !ways.iter().any(has) {
                    *kernel = Kernel::default();
                }
            }
        }
        choice
    }

    fn tell(&self, change: impl FnOnce(&mut Board)) {
        change(&mut self.lock());
        self.0.news.store(true, Release);
    }

    fn lock(&self) -> MutexGuard<'_, Board> {
        self.0.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The program's own side.
#[derive(Debug)]
pub(crate) struct Tuned {
    tuning: Tuning,
    chosen: Choice,
    trial: Option<Trial>,
    measure: bool,
    /// Steps so far.
    count: u64,
    /// Of this step, by node.
    times: Vec<(RowClass, Duration)>,
}

/// A step that is under way.
pub(crate) struct Watched<'t> {
    kernels: &'t [[Kernel; RowClass::ALL.len()]],
    times: Option<&'t mut Vec<(RowClass, Duration)>>,
    /// When it began, if anybody wants to know, and whether it tries other kernels.
    began: Option<(Instant, bool)>,
}

impl Tuned {
    pub(crate) fn new(tuning: Tuning) -> Tuned {
        let chosen = tuning.chosen();
        let times = vec![(RowClass::One, Duration::ZERO); chosen.len()];
        Tuned { tuning, chosen, trial: None, measure: false, count: 0, times }
    }

    pub(crate) fn tuning(&self) -> &Tuning {
        &self.tuning
    }

    /// A step begins.
    pub(crate) fn begin(&mut self) -> Watched<'_> {
        if self.tuning.0.news.swap(false, AcqRel) {
            let board = self.tuning.lock();
            self.chosen.clone_from(&board.chosen);
            self.trial.clone_from(&board.trial);
            self.measure = board.measure;
        }
        self.count += 1;
        let candidate = self.trial.as_ref().filter(|trial| drawn(trial.seed, self.count) < trial.share);
        let kernels = candidate.map_or(&self.chosen, |trial| &trial.candidate);
        let began = self.trial.is_some().then(|| (Instant::now(), candidate.is_some()));
        Watched { kernels, times: self.measure.then_some(&mut self.times), began }
    }

    /// Publishes what was measured of a step.
    pub(crate) fn end(&self, step: Option<StepTime>) {
        if step.is_none() && !self.measure {
            return;
        }
        let mut board = self.tuning.lock();
        board.steps.extend(step);
        board.steps.truncate(MOST_STEPS);
        if self.measure {
            for (sums, (class, took)) in board.times.iter_mut().zip(&self.times) {
                let sum = &mut sums[*class as usize];
                (sum.steps, sum.total) = (sum.steps + 1, sum.total + *took);
            }
        }
    }
}

impl Watched<'_> {
    /// Computes a node, and measures it if that is wanted.
    pub(crate) fn node(&mut self, node: usize, rows: usize, compute: impl FnOnce(Kernel)) {
        let class = RowClass::of(rows);
        let kernel = self.kernels[node][class as usize];
        let Some(times) = &mut self.times else { return compute(kernel) };
        let began = Instant::now();
        compute(kernel);
        times[node] = (class, began.elapsed());
    }

    /// The step has ended: how long it took, if other kernels are tried.
    pub(crate) fn took(self, (rows, outputs): (usize, usize), context: usize) -> Option<StepTime> {
        let (began, candidate) = self.began?;
        Some(StepTime { candidate, rows, outputs, context, took: began.elapsed() })
    }
}

/// Between 0 and 1, evenly, by the number of a step. SplitMix64 (Steele, Lea and Flood 2014).
fn drawn(seed: u64, count: u64) -> f64 {
    let mut z = seed.wrapping_add(count.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}
