//! Taking turns: threads that want the pool get the same share of its time, so that one model's long steps do not starve
//! another's short ones.
//!
//! Start-time fair queueing (Goyal, Vin and Cheng, 1996): a thread's account is the time that it has had, an account that was
//! not used is no credit, and the least account goes first. An engine wants its next turn a moment after the last: the pool
//! waits that moment for a thread that is behind, or turns would alternate whatever they take.

use std::sync::{Condvar, Mutex};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use super::pool::lock;

/// For so long the pool waits for a thread that has had less of it than those that wait.
const GRACE: Duration = Duration::from_millis(1);

/// For so long after its turn a thread is expected back.
const LATELY: Duration = Duration::from_secs(1);

/// A queue of threads. A plain `Mutex` lets a thread that comes back at once overtake one that has yet to wake up.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    queue: Mutex<Queue>,
    left: Condvar,
}

/// A turn; it ends when this is dropped.
pub(crate) struct Turn<'t> {
    turns: &'t Turns,
    thread: ThreadId,
}

#[derive(Debug, Default)]
struct Queue {
    accounts: Vec<Account>,
    /// Whose turn it is.
    running: Option<ThreadId>,
    /// The account with which it began: those who come now have at least as much.
    start: Duration,
    /// For whom the pool waits, and until when.
    kept: Option<(ThreadId, Instant)>,
    /// Who had a turn lately, and when it ended.
    ended: Vec<(ThreadId, Instant)>,
    arrivals: u64,
}

#[derive(Debug)]
struct Account {
    thread: ThreadId,
    used: Duration,
    began: Instant,
    /// When it came, counted, if it waits.
    waits: Option<u64>,
}

/// What a thread that waits is told.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Go,
    Wait,
    WaitUntil(Instant),
}

impl Turns {
    /// Waits for its turn.
    pub(crate) fn wait(&self) -> Turn<'_> {
        let thread = std::thread::current().id();
        let mut queue = lock(&self.queue);
        queue.arrive(thread, Instant::now());
        loop {
            let now = Instant::now();
            queue = match queue.verdict(thread, now) {
                Verdict::Go => {
                    queue.begin(thread, now);
                    return Turn { turns: self, thread };
                }
                Verdict::Wait => self.left.wait(queue).unwrap_or_else(std::sync::PoisonError::into_inner),
                Verdict::WaitUntil(at) => {
                    let waited = self.left.wait_timeout(queue, at.saturating_duration_since(now));
                    waited.unwrap_or_else(std::sync::PoisonError::into_inner).0
                }
            };
        }
    }

    /// A turn, if nobody has one now or waits for one.
    pub(crate) fn take(&self) -> Option<Turn<'_>> {
        let thread = std::thread::current().id();
        let now = Instant::now();
        let mut queue = lock(&self.queue);
        let free = queue.is_free_for(thread, now);
        if free {
            queue.arrive(thread, now);
            queue.begin(thread, now);
        }
        drop(queue);
        free.then(|| Turn { turns: self, thread })
    }

    /// Whether another thread has a turn, waits for one or had one lately.
    pub(crate) fn are_shared(&self) -> bool {
        lock(&self.queue).is_shared(std::thread::current().id(), Instant::now())
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        lock(&self.turns.queue).end(self.thread, Instant::now());
        self.turns.left.notify_all();
    }
}

impl Queue {
    fn arrive(&mut self, thread: ThreadId, now: Instant) {
        let (waits, start) = (Some(self.arrivals), self.start);
        self.arrivals += 1;
        match self.accounts.iter_mut().find(|account| account.thread == thread) {
            Some(account) => (account.used, account.waits) = (account.used.max(start), waits),
            None => self.accounts.push(Account { thread, used: start, began: now, waits }),
        }
    }

    fn verdict(&self, thread: ThreadId, now: Instant) -> Verdict {
        if self.running.is_some() {
            return Verdict::Wait;
        }
        let next = self.next().map(|account| account.thread);
        match self.kept {
            Some((kept, until)) if now < until && next != Some(kept) => Verdict::WaitUntil(until),
            _ if next == Some(thread) => Verdict::Go,
            _ => Verdict::Wait,
        }
    }

    /// Who goes next: the least account, of equals who came first.
    fn next(&self) -> Option<&Account> {
        let waiting = self.accounts.iter().filter_map(|account| Some(((account.used, account.waits?), account)));
        waiting.min_by_key(|(rank, _)| *rank).map(|(_, account)| account)
    }

    fn is_free_for(&self, thread: ThreadId, now: Instant) -> bool {
        let waited_for = self.kept.is_some_and(|(kept, until)| kept == thread && now < until);
        self.running.is_none() && (waited_for || self.accounts.iter().all(|account| account.waits.is_none()))
    }

    fn is_shared(&self, thread: ThreadId, now: Instant) -> bool {
        let waits = |account: &Account| account.waits.is_some() && account.thread != thread;
        let was_here =
            |(other, at): &(ThreadId, Instant)| *other != thread && now.saturating_duration_since(*at) < LATELY;
        self.running.is_some_and(|other| other != thread)
            || self.accounts.iter().any(waits)
            || self.ended.iter().any(was_here)
    }

    fn begin(&mut self, thread: ThreadId, now: Instant) {
        (self.running, self.kept) = (Some(thread), None);
        if let Some(account) = self.accounts.iter_mut().find(|account| account.thread == thread) {
            (account.began, account.waits) = (now, None);
            self.start = self.start.max(account.used);
        }
    }

    fn end(&mut self, thread: ThreadId, now: Instant) {
        self.running = None;
        self.ended.retain(|(other, at)| *other != thread && now.saturating_duration_since(*at) < LATELY);
        self.ended.push((thread, now));
        let Some(account) = self.accounts.iter_mut().find(|account| account.thread == thread) else { return };
        account.used += now.saturating_duration_since(account.began);
        let used = account.used;
        let is_behind = self.next().is_some_and(|next| next.used > used);
        self.kept = is_behind.then_some((thread, now + GRACE));
        // An account below the start is worth as much as none.
        let start = self.start;
        self.accounts.retain(|account| account.waits.is_some() || account.used > start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_first_goes_first() {
        let (turns, order) = (Turns::default(), Mutex::new(vec![]));
        std::thread::scope(|scope| {
            let first = turns.take().expect("nobody has a turn");
            assert!(turns.take().is_none());
            for i in 0..4 {
                let (turns, order) = (&turns, &order);
                scope.spawn(move || {
                    let _turn = turns.wait();
                    lock(order).push(i);
                });
                while lock(&turns.queue).arrivals != i + 2 {
                    std::thread::yield_now();
                }
            }
            drop(first);
        });
        assert_eq!(*lock(&order), [0, 1, 2, 3]);
    }

    /// A thread that works in steps, with a pause after each, from some time on.
    struct Stepper {
        thread: ThreadId,
        step: Duration,
        pause: Duration,
        ready: Instant,
        steps: u32,
        had: Duration,
        longest_wait: Duration,
    }

    fn stepper(start: Instant, step: u64, steps: u32) -> Stepper {
        let thread = std::thread::spawn(|| std::thread::current().id()).join().expect("an id");
        let (step, pause) = (Duration::from_micros(step), Duration::from_micros(200));
        Stepper { thread, step, pause, ready: start, steps, had: Duration::ZERO, longest_wait: Duration::ZERO }
    }

    /// Those who are ready queue up.
    fn come(queue: &mut Queue, all: &[Stepper], now: Instant) {
        for one in all.iter().filter(|one| one.steps > 0 && one.ready <= now) {
            if !queue.accounts.iter().any(|account| account.thread == one.thread && account.waits.is_some()) {
                queue.arrive(one.thread, now);
            }
        }
    }

    /// Lets them take turns on a clock of their own until `end`; gives the time at which nobody worked though somebody waited.
    fn play(all: &mut [Stepper], start: Instant, end: Instant) -> Duration {
        let (mut queue, mut now, mut idle) = (Queue::default(), start, Duration::ZERO);
        while now < end {
            come(&mut queue, all, now);
            let goes = all
                .iter()
                .position(|one| one.steps > 0 && one.ready <= now && queue.verdict(one.thread, now) == Verdict::Go);
            let Some(at) = goes else {
                // Nobody goes before somebody is ready or the pool waits no longer.
                let soon = all.iter().filter(|one| one.steps > 0 && one.ready > now).map(|one| one.ready);
                let kept = queue.kept.map(|(_, until)| until).filter(|until| *until > now);
                let Some(next) = soon.chain(kept).min() else { break };
                let waits = queue.next().is_some();
                idle += if waits { next - now } else { Duration::ZERO };
                now = next;
                continue;
            };
            let one = &mut all[at];
            one.longest_wait = one.longest_wait.max(now - one.ready);
            queue.begin(one.thread, now);
            now += one.step;
            let thread = one.thread;
            (one.ready, one.steps, one.had) = (now + one.pause, one.steps - 1, one.had + one.step);
            come(&mut queue, all, now);
            queue.end(thread, now);
        }
        idle
    }

    #[test]
    #[cfg_attr(miri, ignore = "thousands of steps of safe code")]
    fn long_steps_leave_short_ones_their_share() {
        let start = Instant::now();
        let check = |steps: &[u64], share: f64| {
            let mut all: Vec<Stepper> = steps.iter().map(|step| stepper(start, *step, u32::MAX)).collect();
            play(&mut all, start, start + Duration::from_secs(20));
            let longest = *steps.iter().max().expect("one at least");
            let whole: Duration = all.iter().map(|one| one.had).sum();
            for one in &all {
                let had = one.had.as_secs_f64() / whole.as_secs_f64();
                assert!((had - share).abs() < 0.05, "{steps:?}: {had} of the time");
                let limit = Duration::from_micros(longest * 2 * steps.len() as u64);
                assert!(one.longest_wait <= limit, "{steps:?}: waited {:?}", one.longest_wait);
            }
            assert!(whole > Duration::from_secs(17), "{steps:?}: the pool worked {whole:?} of 20 s");
        };
        check(&[300_000, 5_000], 0.5);
        check(&[20_000, 5_000], 0.5);
        check(&[5_000, 5_000], 0.5);
        check(&[100_000, 20_000, 5_000], 1.0 / 3.0);
    }

    #[test]
    fn who_is_there_and_who_was_lately() {
        let start = Instant::now();
        let [one, two] = [stepper(start, 1, 1).thread, stepper(start, 1, 1).thread];
        let mut queue = Queue::default();
        let check = |queue: &Queue, ms: u64, shared: [bool; 2]| {
            let at = start + Duration::from_millis(ms);
            assert_eq!([one, two].map(|thread| queue.is_shared(thread, at)), shared, "after {ms} ms");
        };
        check(&queue, 0, [false, false]);
        queue.arrive(one, start);
        check(&queue, 0, [false, true]);
        queue.begin(one, start);
        check(&queue, 5_000, [false, true]);
        queue.end(one, start + Duration::from_millis(5_000));
        check(&queue, 5_999, [false, true]);
        check(&queue, 6_000, [false, false]);
    }

    /// Who has been away has no credit, and one that does not come back costs one moment.
    #[test]
    #[cfg_attr(miri, ignore = "thousands of steps of safe code")]
    fn who_is_away_has_no_credit() {
        let start = Instant::now();
        let mut all = [stepper(start, 50_000, u32::MAX), stepper(start, 1_000, 3), stepper(start, 1_000, u32::MAX)];
        all[2].ready = start + Duration::from_secs(5);
        let idle = play(&mut all[..2], start, start + Duration::from_secs(5));
        assert!(idle < Duration::from_millis(3), "{idle:?}");
        all[0] = stepper(start, 50_000, u32::MAX);
        play(&mut all, start, start + Duration::from_secs(6));
        let (long, late) = (all[0].had, all[2].had);
        assert!(late < Duration::from_millis(600) && long > Duration::from_millis(5_300), "{long:?} {late:?}");
    }
}
