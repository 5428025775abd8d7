//! Vectors of texts: a thread that computes hidden states, started when it is first asked for.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use engine::{Encoder, EncoderText, Executor, ExecutorError, Pooling};
use futures_channel::oneshot;

use crate::{Kind, LoadedModel, Problem, TextTokens};

/// Texts that wait at most.
const MAX_WAITING: usize = 4096;

/// Makes what computes hidden states.
pub type MakeEncoder = Box<dyn FnOnce() -> Result<Box<dyn Executor>, String> + Send>;

/// How a model turns texts into vectors. Nothing is in memory until the first text.
pub struct Embedder {
    /// How rows are pooled where nobody says.
    pooling: Pooling,
    /// Numbers of a vector.
    width: usize,
    /// Whether a text is computed in one batch.
    whole: bool,
    state: Mutex<State>,
    waiting: Arc<AtomicUsize>,
}

enum State {
    /// Nobody has asked yet.
    New(Option<MakeEncoder>),
    Running(Sender<Job>, JoinHandle<()>),
    Failed(Problem),
}

struct Job {
    text: TextTokens,
    pooling: Pooling,
    reply: Reply,
}

/// Where a vector goes. Dropping its other end says that nobody wants it.
type Reply = oneshot::Sender<Result<Vec<f32>, ExecutorError>>;

impl Embedder {
    /// An embedder of vectors of `width` numbers, whose executor is made when it is first needed. Rows are pooled as `pooling` says
    /// where nobody asks for something else.
    pub fn new(pooling: Pooling, width: usize, make: MakeEncoder) -> Embedder {
        Embedder { pooling, width, whole: false, state: Mutex::new(State::New(Some(make))), waiting: Arc::default() }
    }

    /// The same for a model whose tokens see those after them: a text is computed in one batch.
    #[must_use]
    pub fn of_whole_texts(mut self, whole: bool) -> Embedder {
        self.whole = whole;
        self
    }

    /// Numbers of a row.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// The vector of each text.
    pub(crate) fn vectors(
        &self,
        texts: Vec<TextTokens>,
        pooling: Option<Pooling>,
    ) -> Result<impl Future<Output = Result<Vec<Vec<f32>>, Problem>> + Send + use<>, Problem> {
        let sender = self.sender()?;
        self.reserve(texts.len())?;
        let pooling = pooling.unwrap_or(self.pooling);
        let ask = |text| {
            let (reply, vector) = oneshot::channel();
            // If the thread has ended, the vector's end of the channel says so.
            let _ = sender.send(Job { text, pooling, reply });
            vector
        };
        let vectors: Vec<_> = texts.into_iter().map(ask).collect();
        Ok(async move {
            let failed = |why: String| Problem::new(Kind::Internal, format!("Computing a text failed: {why}."));
            let mut all = Vec::with_capacity(vectors.len());
            for vector in vectors {
                let vector = vector.await.map_err(|_| failed("its thread has ended".to_owned()))?;
                all.push(vector.map_err(|error| failed(error.to_string()))?);
            }
            Ok(all)
        })
    }

    /// Where texts go.
    fn sender(&self) -> Result<Sender<Job>, Problem> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::New(make) = &mut *state {
            let started = make.take().map_or_else(|| Err("it was given up".to_owned()), |make| self.start(make));
            *state = started.unwrap_or_else(|why| {
                State::Failed(Problem::new(Kind::Failed, format!("The model cannot compute this: {why}.")))
            });
        }
        match &*state {
            State::Running(sender, _) => Ok(sender.clone()),
            State::Failed(problem) => Err(problem.clone()),
            State::New(_) => Err(Problem::new(Kind::Internal, "The embedder was not started.")),
        }
    }

    fn start(&self, make: MakeEncoder) -> Result<State, String> {
        let encoder = if self.whole { Encoder::whole(make()?) } else { Encoder::new(make()?) };
        let (sender, jobs) = mpsc::channel();
        let waiting = Arc::clone(&self.waiting);
        let thread = std::thread::Builder::new().name("embedder".to_owned());
        let thread = thread.spawn(move || work(encoder, &jobs, &waiting)).map_err(|e| e.to_string())?;
        Ok(State::Running(sender, thread))
    }

    /// Reserves room for so many texts, if there is.
    fn reserve(&self, texts: usize) -> Result<(), Problem> {
        let fits = |waiting: usize| (waiting + texts <= MAX_WAITING).then_some(waiting + texts);
        let reserved = self.waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits);
        reserved.map(drop).map_err(|waiting| {
            let message =
                format!("{waiting} texts wait to be computed, and at most {MAX_WAITING} may. Try again later.");
            Problem::new(Kind::Busy, message)
        })
    }
}

impl Drop for Embedder {
    /// Waits for the thread; texts that are not computed yet are given up by who asked for them.
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let State::Running(sender, thread) = std::mem::replace(state, State::New(None)) {
            drop(sender);
            // A thread that panicked has ended too.
            drop(thread.join());
        }
    }
}

/// Computes what comes until nobody can send any more.
fn work(mut encoder: Encoder<Box<dyn Executor>>, jobs: &Receiver<Job>, waiting: &AtomicUsize) {
    let mut replies: BTreeMap<u64, Reply> = BTreeMap::new();
    let mut ids = 0..;
    let mut take = |job: Job, encoder: &mut Encoder<_>, replies: &mut BTreeMap<u64, Reply>| {
        let Some(id) = ids.next() else { return };
        encoder.push(EncoderText { id, tokens: job.text.ids, second: job.text.second, pooling: job.pooling });
        replies.insert(id, job.reply);
    };
    loop {
        if encoder.is_idle() {
            match jobs.recv() {
                Ok(job) => take(job, &mut encoder, &mut replies),
                Err(_) => return,
            }
        }
        jobs.try_iter().for_each(|job| take(job, &mut encoder, &mut replies));
        let before = replies.len();
        replies.retain(|_, reply| !reply.is_canceled());
        encoder.forget(|id| !replies.contains_key(&id));
        let given_up = before - replies.len();
        let ended = encoder.step();
        waiting.fetch_sub(given_up + ended.len(), Ordering::AcqRel);
        for (id, vector) in ended {
            // Who asked may be gone.
            let _ = replies.remove(&id).map(|reply| reply.send(vector));
        }
    }
}

impl LoadedModel {
    /// Lets it turn texts into vectors.
    #[must_use]
    pub fn with_embedder(mut self, embedder: Embedder) -> LoadedModel {
        self.rows.embedder = Some(embedder);
        self
    }

    /// Numbers of a vector of [`LoadedModel::embed`]; `None` if it gives none.
    pub fn embedding_width(&self) -> Option<usize> {
        self.rows.embedder.as_ref().map(|embedder| embedder.width)
    }

    /// The vector of each text, as the model's hidden states are; see [`normalized`]. The future ends when all are computed;
    /// dropping it gives them up.
    ///
    /// # Errors
    /// If the model gives no vectors, too many texts wait already, or computing fails.
    pub fn embed(
        &self,
        texts: Vec<TextTokens>,
        pooling: Option<Pooling>,
    ) -> Result<impl Future<Output = Result<Vec<Vec<f32>>, Problem>> + Send + use<>, Problem> {
        let embedder = self.rows.embedder.as_ref().ok_or_else(|| {
            Problem::new(Kind::Unsupported, format!("The model {} gives no embeddings.", self.info.name))
        })?;
        embedder.vectors(texts, pooling)
    }
}

/// The first `dimensions` numbers of a vector, scaled to length 1. Models that are trained so ("Matryoshka Representation
/// Learning", Kusupati et al. 2022) keep most of what a vector says in its first numbers.
pub fn normalized(mut vector: Vec<f32>, dimensions: Option<usize>) -> Vec<f32> {
    vector.truncate(dimensions.unwrap_or(usize::MAX));
    let length = vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
    }
    vector
}
