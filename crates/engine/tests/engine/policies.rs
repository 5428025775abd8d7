//! The scheduler by itself, on plain numbers, under a policy of our own.

use std::time::Duration;

use engine::{
    Arrival, EngineConfig, ExecutorLimits, FirstCome, Load, Policy, PolicyName, Priority, RequestId, Scheduler,
    Sequence, SequenceId,
};

/// The urgent first; they take the blocks of those that are less so, and prompts get two rows beside others.
pub(crate) struct Urgent;

impl Policy for Urgent {
    fn rank(&self, sequence: &Sequence, now: Duration) -> u64 {
        // Who has waited a minute is as urgent as any.
        let waited = now.saturating_sub(sequence.arrival().time).as_secs() >= 60;
        if waited { 0 } else { sequence.arrival().priority as u64 }
    }

    fn victim(&self, holder: &Sequence, needy: &Sequence, _: Duration) -> bool {
        holder.arrival().priority > needy.arrival().priority
    }

    fn chunk(&self, load: &Load) -> usize {
        if load.decoding > 0 { 2 } else { load.rows }
    }

    fn admit(&self, _: &Sequence, _: usize, _: &Load) -> bool {
        true
    }
}

/// A scheduler with 8 rows, 3 sequences and blocks of 4 positions.
struct Stage {
    scheduler: Scheduler,
    next: u64,
    now: Duration,
}

impl Stage {
    fn new(blocks: usize, policy: Box<dyn Policy>) -> Stage {
        let config = EngineConfig {
            max_batch_tokens: 8,
            max_sequences: 3,
            max_queue: 9,
            context: 32,
            seed: 1,
            ..EngineConfig::default()
        };
        let (kv_blocks, state_slots) = (blocks, 0);
        let limits = ExecutorLimits { max_tokens: 64, max_outputs: 64, kv_blocks, block_len: 4, state_slots, vocab: 1 };
        Stage { scheduler: Scheduler::new(&config, limits, policy), next: 0, now: Duration::ZERO }
    }

    fn add(&mut self, prompt: usize, priority: Priority) -> &mut Stage {
        let (request, time) = (RequestId(self.next), self.now);
        let (deadline, tenant, cache_salt) = (None, None, None);
        let (scored, continuations, longest) = (false, 1, 32);
        let arrival =
            Arrival { request, priority, deadline, tenant, time, cache_salt, prompt, longest, scored, continuations };
        self.scheduler.add(SequenceId(self.next), arrival);
        self.next += 1;
        self
    }

    /// Makes a step for each expectation: `0:3@4` are three rows of sequence 0 after four positions; `-1` is one that was
    /// preempted. Everyone goes on.
    fn check(&mut self, expect: &[&str]) -> &mut Stage {
        for (i, expect) in expect.iter().enumerate() {
            self.scheduler.schedule(self.now, &());
            let batch = self.scheduler.batch().map(|s| format!("{}:{}@{}", s.id().0, s.rows(), s.cached()));
            let preempted = self.scheduler.preempted().iter().map(|id| format!("-{}", id.0));
            assert_eq!(batch.chain(preempted).collect::<Vec<_>>().join(" "), *expect, "step {i}");
            self.scheduler.share(&());
            self.scheduler.advance(|id, living| living.push(id));
            self.scheduler.check().unwrap();
        }
        self
    }
}

#[test]
fn first_come_serves_in_the_order_of_arrival_whatever_the_priority() {
    let mut stage = Stage::new(16, Box::new(FirstCome));
    stage.add(6, Priority::Low).add(6, Priority::High).check(&["0:6@0 1:2@0", "0:1@6 1:4@2", "0:1@7 1:1@6"]);
}

#[test]
fn a_policy_decides_who_comes_first_and_how_large_chunks_are() {
    let mut stage = Stage::new(16, Box::new(Urgent));
    stage.add(6, Priority::Low).add(5, Priority::Normal).add(5, Priority::High);
    stage.check(&["2:5@0 1:3@0", "2:1@5 1:2@3", "2:1@6 1:1@5 0:2@0", "2:1@7 1:1@6 0:2@2"]);
}

#[test]
fn a_policy_decides_who_gives_way() {
    let mut stage = Stage::new(4, Box::new(Urgent));
    stage.add(5, Priority::Low).add(3, Priority::Normal).check(&["1:3@0 0:5@0"]);
    // The urgent one takes the blocks of the least urgent.
    stage.add(6, Priority::High).check(&["1:1@3 2:2@0 -0", "1:1@4 2:2@2", "1:1@5 2:2@4"]);
    // It outgrows its blocks: so much as to take those of the next.
    stage.check(&["2:1@6 1:1@6", "2:1@7 1:1@7", "2:1@8 -1"]);
    stage.scheduler.remove(SequenceId(2));
    stage.check(&["1:8@0", "1:1@8"]);
}

/// Last come, first served, and a newcomer takes the blocks of anyone.
struct Greedy;

impl Policy for Greedy {
    fn rank(&self, sequence: &Sequence, _: Duration) -> u64 {
        u64::MAX - sequence.id().0
    }

    fn victim(&self, _: &Sequence, _: &Sequence, _: Duration) -> bool {
        true
    }

    fn chunk(&self, load: &Load) -> usize {
        load.rows
    }

    fn admit(&self, _: &Sequence, _: usize, _: &Load) -> bool {
        true
    }
}

#[test]
fn nobody_loses_blocks_to_whom_it_comes_before() {
    let mut stage = Stage::new(4, Box::new(Greedy));
    // The last to come is first in rank, and keeps its blocks until it has ended.
    stage.add(9, Priority::Normal).check(&["0:8@0"]).add(9, Priority::Normal);
    stage.check(&["1:8@0 -0", "1:1@8", "1:1@9", "1:1@10"]);
    stage.scheduler.remove(SequenceId(1));
    stage.check(&["0:8@0", "0:1@8"]);
}

#[test]
fn rank_may_change_with_time() {
    let mut stage = Stage::new(16, Box::new(Urgent));
    stage.add(20, Priority::Low).check(&["0:8@0"]);
    stage.now = Duration::from_secs(60);
    stage.add(20, Priority::High).check(&["0:8@8", "0:4@16 1:4@0"]);
}

#[test]
fn forks_share_what_was_computed_and_a_failed_batch_frees_everything() {
    let mut stage = Stage::new(8, Box::new(FirstCome));
    stage.add(6, Priority::Normal);
    stage.scheduler.schedule(stage.now, &());
    stage.scheduler.advance(|_, living| living.extend([SequenceId(0), SequenceId(5), SequenceId(6)]));
    stage.scheduler.check().unwrap();
    assert_eq!((stage.scheduler.running().len(), stage.scheduler.cache().blocks().used()), (3, 2));
    stage.scheduler.schedule(stage.now, &());
    assert_eq!(stage.scheduler.copies().len(), 2);
    assert_eq!(stage.scheduler.abandon(), [SequenceId(0), SequenceId(5), SequenceId(6)]);
    stage.scheduler.check().unwrap();
    assert_eq!((stage.scheduler.is_idle(), stage.scheduler.cache().blocks().used()), (true, 0));
}

/// Arrivals that a policy is asked about: when, what, and for whom.
fn add(stage: &mut Stage, millis: u64, (priority, deadline, tenant, prompt): (Priority, Option<u64>, &str, usize)) {
    let time = Duration::from_millis(millis);
    let arrival = Arrival {
        request: RequestId(stage.next),
        priority,
        deadline: deadline.map(Duration::from_millis),
        tenant: Some(tenant.into()),
        time,
        cache_salt: None,
        prompt,
        longest: 32,
        scored: false,
        continuations: 1,
    };
    stage.scheduler.add(SequenceId(stage.next), arrival);
    stage.next += 1;
}

#[test]
fn each_policy_has_its_order() {
    let orders = [
        (PolicyName::FirstCome, "0 1 2 3 4"),
        (PolicyName::Priority, "3 1 4 0 2"),
        (PolicyName::Deadline, "4 2 0 1 3"),
        (PolicyName::ShortestPrefill, "0 4 3 1 2"),
        (PolicyName::FairShare, "0 1 2 3 4"),
    ];
    for (name, order) in orders {
        let mut stage = Stage::new(16, name.policy());
        add(&mut stage, 0, (Priority::Low, None, "a", 2));
        add(&mut stage, 1, (Priority::Normal, None, "a", 20));
        add(&mut stage, 2, (Priority::Low, Some(9000), "a", 30));
        add(&mut stage, 100, (Priority::High, None, "a", 8));
        add(&mut stage, 101, (Priority::Normal, Some(5000), "b", 2));
        let waiting: Vec<String> = stage.scheduler.waiting().iter().map(|s| s.id().0.to_string()).collect();
        assert_eq!((waiting.join(" ").as_str(), PolicyName::named(name.name())), (order, Some(name)));
    }
}

#[test]
fn nobody_is_overtaken_for_ever() {
    for (name, late) in [(PolicyName::Priority, 61_000), (PolicyName::Deadline, 61_000)] {
        let mut stage = Stage::new(16, name.policy());
        add(&mut stage, 0, (Priority::Low, None, "a", 2));
        add(&mut stage, late, (Priority::High, Some(late + 1), "a", 2));
        stage.check(&["0:2@0 1:2@0"]);
    }
}

#[test]
fn tenants_share_what_there_is() {
    let mut stage = Stage::new(64, PolicyName::FairShare.policy());
    (0..4).for_each(|_| add(&mut stage, 0, (Priority::Normal, None, "many", 8)));
    stage.check(&["0:8@0"]);
    // Who comes later begins with what the others have had when their step began, and then takes turns.
    add(&mut stage, 1, (Priority::Normal, None, "few", 8));
    stage.check(&["0:1@8 4:7@0", "0:1@9 4:1@7 1:6@0"]);
}

#[test]
fn prompts_get_the_rows_that_a_goal_leaves() {
    for goal in [None, Some(4), Some(3)] {
        let max_step = goal.map(Duration::from_millis);
        let config = EngineConfig { max_batch_tokens: 64, max_sequences: 3, max_step, ..EngineConfig::default() };
        let (kv_blocks, state_slots) = (99, 0);
        let limits = ExecutorLimits { max_tokens: 64, max_outputs: 64, kv_blocks, block_len: 4, state_slots, vocab: 1 };
        let (policy, now) = (Box::new(Sevens), Duration::ZERO);
        let mut stage = Stage { scheduler: Scheduler::new(&config, limits, policy), next: 0, now };
        stage.add(1, Priority::Normal);
        for step in 0..200 {
            if step % 5 == 0 {
                add(&mut stage, 0, (Priority::Low, None, "a", 5 + step % 17));
            }
            stage.scheduler.schedule(now, &());
            // A millisecond, and a tenth for each row.
            let work = stage.scheduler.work();
            let rows = (work.prefill_rows + work.decode_rows) as u64;
            stage.scheduler.learn(Duration::from_micros(1000 + 100 * rows));
            stage.scheduler.advance(|id, living| living.extend([id].into_iter().filter(|id| id.0 == 0)));
        }
        while stage.scheduler.running().len() + stage.scheduler.waiting().len() > 1 {
            stage.scheduler.schedule(now, &());
            stage.scheduler.advance(|id, living| living.extend([id].into_iter().filter(|id| id.0 == 0)));
        }
        stage.add(60, Priority::Normal);
        stage.scheduler.schedule(now, &());
        let work = stage.scheduler.work();
        let due = goal.map_or(7, |millis| ((millis * 1000 - 1000) / 100 - 1) as usize);
        assert!(work.prefill_rows.abs_diff(due) <= 1, "{work:?}, not {due} rows");
    }
}

#[test]
fn prompts_are_cut_where_threads_are_shared() {
    for (is_shared, rows) in [(false, 2000), (true, 512)] {
        let config = EngineConfig { max_batch_tokens: 2048, context: 4096, ..EngineConfig::default() };
        let limits = ExecutorLimits {
            max_tokens: 2048,
            max_outputs: 64,
            kv_blocks: 600,
            block_len: 4,
            state_slots: 0,
            vocab: 1,
        };
        let scheduler = Scheduler::new(&config, limits, Box::new(FirstCome));
        let mut stage = Stage { scheduler, next: 0, now: Duration::ZERO };
        stage.add(2000, Priority::Normal);
        stage.scheduler.share_threads(is_shared);
        stage.scheduler.schedule(Duration::ZERO, &());
        assert_eq!(stage.scheduler.work().prefill_rows, rows, "shared: {is_shared}");
    }
}

/// Prompts get seven rows.
struct Sevens;

impl Policy for Sevens {
    fn rank(&self, sequence: &Sequence, _: Duration) -> u64 {
        sequence.id().0
    }

    fn chunk(&self, _: &Load) -> usize {
        7
    }
}
