//! The near end: a policy that asks elsewhere, once for each step.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use engine::{FirstCome, Load, Policy, Sequence};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{
    Admit, Asks, Change, Chunk, Far, Open, Opened, Order, Ordered, Question, Rank, Ranked, Rows, Victim, Yes, nanos,
};
use crate::services::{Link, Trouble};

/// A policy that asks a service. Where that cannot be asked, everything that is queued or runs ends with an error, and what comes later is
/// tried again in a new session.
pub struct RemotePolicy {
    /// Its questions change it, and the trait asks them of a policy that it does not change.
    inner: RefCell<Inner>,
}

struct Inner {
    link: Arc<Link>,
    policy: Option<String>,
    session: Option<Session>,
    /// Why this step could not be decided.
    trouble: Option<String>,
    /// What the last step has computed and the service has not heard yet.
    computed: Vec<(u64, usize)>,
}

/// What the service knows of this engine.
struct Session {
    name: String,
    version: u64,
    asks: Vec<Asks>,
    sequences: HashMap<u64, Known>,
}

/// What was told of a sequence, its rank, and the order in which it was told last.
struct Known {
    far: Far,
    rank: u64,
    seen: u64,
}

impl RemotePolicy {
    /// Opens a session with the policy of this name, or that of the service.
    ///
    /// # Errors
    /// If nobody answers or there is no such policy.
    pub fn connect(link: Arc<Link>, policy: Option<String>) -> Result<RemotePolicy, String> {
        let mut inner = Inner { link, policy, session: None, trouble: None, computed: Vec::new() };
        inner.open()?;
        Ok(RemotePolicy { inner: RefCell::new(inner) })
    }
}

impl Inner {
    /// The session that lasts, or a new one, in which the service knows nothing of this engine.
    fn open(&mut self) -> Result<&mut Session, String> {
        if self.session.is_none() {
            let open = Open { session: unique(), policy: self.policy.clone() };
            let opened: Result<Opened, Trouble> = self.link.ask("/open", &open);
            let Opened { session, version, asks, .. } = opened.map_err(|trouble| self.link.sentence(&trouble))?;
            self.session = Some(Session { name: session, version, asks, sequences: HashMap::new() });
            self.computed.clear();
        }
        self.session.as_mut().ok_or_else(String::new)
    }

    fn asks(&self, what: Asks) -> bool {
        self.session.as_ref().is_some_and(|session| session.asks.contains(&what))
    }

    /// Tells what has changed since the last step, and learns who comes first.
    fn order(&mut self, now: Duration, all: &mut dyn Iterator<Item = &Sequence>) -> Result<(), String> {
        let computed = std::mem::take(&mut self.computed);
        let session = self.open()?;
        let mut change = Change { session: session.name.clone(), version: session.version, ..Change::default() };
        change.computed = computed;
        let step = session.version + 1;
        for sequence in all {
            let far = Far::from(sequence);
            match session.sequences.get_mut(&far.0) {
                Some(known) => {
                    known.seen = step;
                    if known.far != far {
                        known.far = far;
                        change.progress.push(far);
                    }
                }
                None => {
                    change.arrived.push(sequence.into());
                    change.progress.push(far);
                    session.sequences.insert(far.0, Known { far, rank: 0, seen: step });
                }
            }
        }
        session.sequences.retain(|id, known| {
            let gone = known.seen != step;
            change.ended.extend(gone.then_some(*id));
            !gone
        });
        let question = Question { policy: None, change: Some(change), asked: Order { now_ns: nanos(now) } };
        let Ordered { version, ranks } = self.asked("/order", &question)?;
        let Some(session) = self.session.as_mut() else { return Ok(()) };
        for (id, rank) in ranks {
            session.sequences.get_mut(&id).into_iter().for_each(|known| known.rank = rank);
        }
        match version == step {
            true => session.version = step,
            false => return Err(self.gone("its session is at another version than this engine's")),
        }
        Ok(())
    }

    /// Asks a single question, after telling what was computed.
    fn single<T: Serialize, A: DeserializeOwned>(&mut self, path: &str, asked: T) -> Result<A, String> {
        let computed = std::mem::take(&mut self.computed);
        let session = self.open()?;
        let change = Change { session: session.name.clone(), version: session.version, computed, ..Change::default() };
        session.version += 1;
        self.asked(path, &Question { policy: None, change: Some(change), asked })
    }

    fn asked<A: DeserializeOwned>(&mut self, path: &str, question: &impl Serialize) -> Result<A, String> {
        let answer = self.link.ask(path, question);
        answer.map_err(|trouble| {
            self.session = None;
            self.link.sentence(&trouble)
        })
    }

    fn gone(&mut self, why: &str) -> String {
        self.session = None;
        let trouble = self.link.failed(why.to_owned());
        self.link.sentence(&trouble)
    }

    /// The answer, or what is as good as any in a step that ends everything.
    fn or_trouble<T>(&mut self, answer: Result<T, String>, otherwise: T) -> T {
        answer.unwrap_or_else(|why| {
            self.trouble = Some(why);
            otherwise
        })
    }
}

impl Policy for RemotePolicy {
    fn begin(&mut self, now: Duration, all: &mut dyn Iterator<Item = &Sequence>) {
        let inner = self.inner.get_mut();
        let mut all = all.peekable();
        inner.trouble = None;
        // Nobody to be ordered: nothing to ask.
        if all.peek().is_some() {
            inner.trouble = inner.order(now, &mut all).err();
        }
    }

    fn trouble(&self) -> Option<String> {
        self.inner.borrow().trouble.clone()
    }

    fn rank(&self, sequence: &Sequence, now: Duration) -> u64 {
        let mut inner = self.inner.borrow_mut();
        let known = inner.session.as_ref().and_then(|session| session.sequences.get(&sequence.id().0));
        if let Some(known) = known {
            return known.rank;
        }
        if inner.trouble.is_some() {
            return u64::MAX;
        }
        let question = Rank { now_ns: nanos(now), sequences: vec![sequence.into()] };
        let answer: Result<Ranked, String> = inner.single("/rank", question);
        let ranks = inner.or_trouble(answer, Ranked { ranks: Vec::new() }).ranks;
        ranks.first().copied().unwrap_or(u64::MAX)
    }

    fn victim(&self, holder: &Sequence, needy: &Sequence, now: Duration) -> bool {
        let mut inner = self.inner.borrow_mut();
        if !inner.asks(Asks::Victim) {
            return FirstCome.victim(holder, needy, now);
        }
        let answer = inner.single("/victim", Victim { now_ns: nanos(now), holder: holder.into(), needy: needy.into() });
        inner.or_trouble(answer, Yes { yes: false }).yes
    }

    fn chunk(&self, load: &Load) -> usize {
        let mut inner = self.inner.borrow_mut();
        if !inner.asks(Asks::Chunk) {
            return FirstCome.chunk(load);
        }
        let answer = inner.single("/chunk", Chunk { load: load.into() });
        inner.or_trouble(answer, Rows { rows: 0 }).rows
    }

    fn admit(&self, sequence: &Sequence, blocks: usize, load: &Load) -> bool {
        let mut inner = self.inner.borrow_mut();
        if !inner.asks(Asks::Admit) {
            return FirstCome.admit(sequence, blocks, load);
        }
        let answer = inner.single("/admit", Admit { sequence: sequence.into(), blocks, load: load.into() });
        inner.or_trouble(answer, Yes { yes: false }).yes
    }

    fn computed(&mut self, batch: &mut dyn Iterator<Item = &Sequence>) {
        self.inner.get_mut().computed.extend(batch.map(|sequence| (sequence.id().0, sequence.rows())));
    }
}

/// A name that no other session has, of this process or another.
fn unique() -> String {
    static SESSIONS: AtomicU64 = AtomicU64::new(0);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!("{}-{since}-{}", std::process::id(), SESSIONS.fetch_add(1, Ordering::Relaxed))
}
