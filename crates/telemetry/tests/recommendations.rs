//! What is recommended of an engine that has had ten minutes of a kind.

use std::time::Duration;

use telemetry::{
    EngineTelemetry, KvGauges, Labels, Left, Machine, Pulse, Recommendation, Record, Request, Step, Telemetry,
};

/// Ten minutes of an engine: each second so many steps and requests like these.
#[derive(Clone, Copy)]
struct Minutes {
    step: Step,
    steps: usize,
    /// A step with prompts, if there are any.
    mixed: Option<Step>,
    request: Request,
    cached: usize,
    preemptions: usize,
    pulse: Pulse,
    machine: Machine,
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// An engine with nothing to complain of: 8 of 32 places are taken, half of the cache is in use.
fn usual() -> Minutes {
    let left = Left { running: 8, waiting: 0, stalled: 0 };
    let kv = KvGauges { block_len: 16, blocks: 1000, used: 500, kept: 100, ..KvGauges::default() };
    Minutes {
        step: Step { decode_rows: 8, tokens: 8, took: millis(10), left, ..Step::default() },
        steps: 20,
        mixed: None,
        request: Request {
            queued: Some(millis(1)),
            first_token: Some(millis(100)),
            last_token: Some(millis(900)),
            prompt: 200,
            generated: 40,
            answers: 1,
            reason: "stop",
            drafts: (0, 0),
            model_drafts: (0, 0),
            head_drafts: (0, 0),
            repetition: None,
            foretold: None,
        },
        cached: 0,
        preemptions: 0,
        pulse: Pulse { running: 8, waiting: 0, slots: 32, context: 2000, failed_batches: 0, kv },
        machine: Machine { available: 0.5, cores: 4.0, threads: 4.0, ..Machine::default() },
    }
}

impl Minutes {
    fn tell(&self, telemetry: &Telemetry, engine: &EngineTelemetry) {
        for second in 0..600 {
            let now = Duration::from_secs(second);
            (0..self.steps).for_each(|_| engine.step(now, &self.step));
            self.mixed.iter().for_each(|step| engine.step(now, step));
            let (request, cached, preemptions) = (self.request, self.cached, self.preemptions);
            let total = request.last_token.unwrap_or_default();
            let record = Record { request, id: second, tenant: None, cached, preemptions, total, spans: &[] };
            engine.ended(now, &record);
            engine.pulse(now, &self.pulse);
            telemetry.tick(now, self.machine);
        }
    }

    fn recommended(&self) -> Vec<Recommendation> {
        let telemetry = Telemetry::new(Duration::ZERO);
        let engine = telemetry.engine(Labels::model("m"));
        self.tell(&telemetry, &engine);
        engine.loaded_from("org/it's");
        telemetry.snapshot(Duration::from_secs(600)).recommendations
    }
}

/// The settings with their values and what becomes better, the largest gain first.
fn check(minutes: Minutes, wanted: &[(&str, &str, &str)]) -> Vec<Recommendation> {
    let found = minutes.recommended();
    let shown: Vec<_> = found.iter().map(|one| (one.setting, one.value.as_str(), one.gain.of)).collect();
    assert_eq!(shown, wanted, "{found:#?}");
    for one in &found {
        assert!(one.gain.share >= 0.05 && one.gain.share <= 1.0 && one.reason.len() > 40, "{one:#?}");
        let tried = format!(" --try {}={}", &one.setting[2..], one.value);
        assert!(one.command.starts_with("whinchat bench --model 'org/it'\\''s' --with max-sequences=32"), "{one:#?}");
        assert!(one.command.contains(&tried) && one.command.contains(" --prompt 200 --generate 40"), "{one:#?}");
    }
    found
}

#[test]
fn what_is_well_stays() {
    check(usual(), &[]);
}

#[test]
fn places() {
    let mut crowd = usual();
    crowd.request.queued = Some(millis(80));
    (crowd.pulse.running, crowd.pulse.waiting) = (32, 20);
    let found = check(crowd, &[("--max-sequences", "57", "first_token")]);
    assert!(found[0].command.ends_with(" --clients 52 --prompt 200 --generate 40"), "{found:#?}");
    // A cache that is full has no room for more.
    crowd.pulse.kv.used = 950;
    check(crowd, &[]);
}

#[test]
fn memory_of_sequences() {
    let mut short = usual();
    (short.pulse.kv.used, short.preemptions) = (950, 1);
    short.step.prefill_rows = 100;
    check(short, &[("--kv-tokens", "32000", "throughput"), ("--kv-type", "q8_0", "throughput")]);
    short.machine.available = 0.2;
    check(short, &[("--kv-type", "q8_0", "throughput")]);
}

#[test]
fn memory_of_prefixes() {
    let mut full = usual();
    (full.cached, full.pulse.kv.kept) = (100, 490);
    let found = check(full, &[("--kv-tokens", "32000", "first_token")]);
    assert!(found[0].command.ends_with(" --returning 120"), "{found:#?}");
    full.machine.available = 0.2;
    check(full, &[("--kv-spill", "/var/tmp", "first_token")]);
    (full.pulse.kv.spilled, full.pulse.kv.restored) = (5, 5);
    check(full, &[]);
}

#[test]
fn steps() {
    let mut uneven = usual();
    let mixed = Step { prefill_rows: 200, decode_rows: 8, tokens: 8, took: millis(90), ..uneven.step };
    uneven.mixed = Some(mixed);
    check(uneven, &[("--max-step-ms", "30", "between")]);
}

#[test]
fn threads() {
    let mut shared = usual();
    shared.machine.others = 1.2;
    // Steps are alike: nothing is lost.
    check(shared, &[]);
    let slow = Step { took: millis(18), ..shared.step };
    shared.mixed = Some(slow);
    shared.steps = 5;
    check(shared, &[("--threads", "3", "between")]);
    let mut idle = usual();
    (idle.steps, idle.machine.threads) = (70, 2.0);
    check(idle, &[("--threads", "4", "throughput")]);
    // What has nothing to do needs no more.
    idle.steps = 20;
    check(idle, &[]);
}

#[test]
fn contexts() {
    let mut long = usual();
    (long.pulse.context, long.request.reason) = (240, "length");
    check(long, &[("--context", "480", "complete")]);
    // Cut by what was asked for, not by the context.
    long.pulse.context = 2000;
    check(long, &[]);
    let mut tight = usual();
    tight.machine.available = 0.05;
    (tight.pulse.context, tight.pulse.kv.blocks) = (8192, 8192 / 4 * 32 / 16);
    tight.pulse.kv.used = 2000;
    let found = check(tight, &[("--context", "512", "memory")]);
    assert!((found[0].gain.share - 15.0 / 16.0).abs() < 1e-9, "{found:#?}");
    // Who has given a size of the cache has chosen.
    tight.pulse.kv.blocks = 3000;
    check(tight, &[]);
}

#[test]
fn variants() {
    let telemetry = Telemetry::new(Duration::ZERO);
    for (variant, took) in [("slow", 900), ("fast", 500)] {
        let mut minutes = usual();
        minutes.request.last_token = Some(millis(took));
        minutes.step.took = millis(took / 50);
        let engine = telemetry.engine(Labels { variant: variant.to_owned(), ..Labels::model("m") });
        minutes.tell(&telemetry, &engine);
        engine.loaded_from(&format!("{variant}.gguf"));
    }
    let found = telemetry.snapshot(Duration::from_secs(600)).recommendations;
    let [one] = &found[..] else { panic!("{found:#?}") };
    assert_eq!((one.labels.variant.as_str(), one.setting, one.value.as_str()), ("slow", "variant", "fast on cpu"));
    let wanted = "whinchat bench --model slow.gguf --try model=fast.gguf --clients 8 --prompt 200 --generate 40";
    assert_eq!(one.command, wanted);
    assert!((one.gain.share - 4.0 / 9.0).abs() < 0.03, "{one:#?}");
}
