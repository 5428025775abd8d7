//! Texts become vectors, whatever shares the batch, however they are cut, and whatever fails.

use std::collections::BTreeMap;

use engine::{Encoder, EncoderText, Executor, ExecutorError, ExecutorLimits, Pooling};
use graph::Batch;
use proptest::prelude::*;

use crate::executor::{Fake, Fault, VOCAB};

type Vectors = BTreeMap<u64, Result<Vec<f32>, ExecutorError>>;

fn text(id: u64, tokens: &[u32], pooling: Pooling) -> EncoderText {
    EncoderText { id, tokens: tokens.to_vec(), second: None, pooling }
}

/// What becomes of these texts, all pushed at once; each ends once, and nothing that was promised to the executor is broken.
fn encode(executor: Fake, texts: &[EncoderText]) -> Vectors {
    let bench = executor.bench.clone();
    let mut encoder = Encoder::new(executor);
    texts.iter().for_each(|text| encoder.push(text.clone()));
    let mut vectors = Vectors::new();
    for _ in 0..10_000 {
        if encoder.is_idle() {
            break;
        }
        for (id, vector) in encoder.step() {
            assert!(vectors.insert(id, vector).is_none(), "text {id} ended twice");
        }
    }
    assert!(encoder.is_idle() && vectors.len() == texts.len(), "{vectors:?}");
    assert_eq!(bench.lock().unwrap().broken, None);
    vectors
}

/// A text's rows, one by one, of an executor that has room for it alone.
fn rows(tokens: &[u32]) -> Vec<Vec<f32>> {
    let prefix = |end: usize| encode(Fake::new(64, 64, 16, 4), &[text(0, &tokens[..end], Pooling::Last)]);
    (1..=tokens.len()).map(|end| prefix(end).remove(&0).expect("it ended").expect("a vector")).collect()
}

fn pooling() -> impl Strategy<Value = Pooling> {
    prop_oneof![Just(Pooling::Mean), Just(Pooling::First), Just(Pooling::Last), Just(Pooling::Rows)]
}

proptest! {
    #[test]
    fn a_vector_depends_on_its_text_alone(
        texts in proptest::collection::vec((proptest::collection::vec(0..VOCAB as u32, 1..20), pooling()), 1..12),
        (max_tokens, max_outputs, kv_blocks, states) in (1usize..24, 1usize..24, 5usize..24, prop_oneof![Just(0usize), 1..4usize]),
    ) {
        let mut fake = Fake::new(max_tokens, max_outputs.min(max_tokens), kv_blocks, 4);
        if states > 0 {
            fake = fake.with_states(states);
        }
        let texts: Vec<_> = (0..).zip(&texts).map(|(id, (tokens, pooling))| text(id, tokens, *pooling)).collect();
        let vectors = encode(fake, &texts);
        for text in &texts {
            let rows = rows(&text.tokens);
            let wanted = match text.pooling {
                Pooling::First => rows[0].clone(),
                Pooling::Last => rows[rows.len() - 1].clone(),
                Pooling::Rows => rows.concat(),
                Pooling::Mean => (0..VOCAB)
                    .map(|i| rows.iter().map(|row| row[i]).reduce(|sum, x| sum + x).unwrap_or(f32::NAN) / rows.len() as f32)
                    .collect(),
            };
            prop_assert_eq!(&vectors[&text.id], &Ok(wanted), "{:?}", text);
        }
    }
}

#[test]
fn what_cannot_be_computed_ends_with_an_error() {
    let check = |fault: Option<Fault>, wanted: [Option<&str>; 3]| {
        let fake = Fake::new(8, 8, 4, 4);
        fake.bench.lock().unwrap().fault = fault;
        // The first two share the first batch; the third waits for their memory.
        let texts =
            [text(0, &[1; 8], Pooling::Last), text(1, &[2; 8], Pooling::Mean), text(2, &[3; 16], Pooling::Last)];
        for ((id, vector), wanted) in encode(fake, &texts).iter().zip(wanted) {
            let error = vector.as_ref().err().map(ToString::to_string);
            assert_eq!(error.is_some(), wanted.is_some(), "{fault:?}, text {id}: {error:?}");
            assert!(wanted.is_none_or(|wanted| error.is_some_and(|e| e.contains(wanted))), "{fault:?}, text {id}");
        }
    };
    check(None, [None; 3]);
    check(Some(Fault::Error), [Some("on fire"), None, None]);
    check(Some(Fault::Broken), [Some("burnt down"), None, None]);
    check(Some(Fault::Panic), [Some("out of cheese"), None, None]);
    check(Some(Fault::Short), [Some("are due"), None, None]);
    check(Some(Fault::Nan), [Some("not finite"), None, None]);
}

#[test]
fn a_text_of_no_length_and_one_that_never_fits_are_refused() {
    let texts = [text(0, &[], Pooling::Mean), text(1, &[1; 17], Pooling::Last), text(2, &[1; 16], Pooling::Last)];
    let vectors = encode(Fake::new(8, 8, 4, 4), &texts);
    for id in [0, 1] {
        let error = vectors[&id].as_ref().expect_err("refused").to_string();
        assert!(error.contains("1 to 16"), "{error}");
    }
    assert!(vectors[&2].is_ok());
}

#[test]
fn a_text_that_nobody_wants_gives_its_memory_back() {
    let mut encoder = Encoder::new(Fake::new(4, 4, 4, 4));
    (0..3).for_each(|id| encoder.push(text(id, &[7; 16], Pooling::Last)));
    assert!(encoder.step().is_empty());
    encoder.forget(|id| id < 2);
    let ended: Vec<_> = (0..4).flat_map(|_| encoder.step()).collect();
    assert!(matches!(&ended[..], [(2, Ok(_))]) && encoder.is_idle(), "{ended:?}");
}

/// Says of each row how many rows its span has, how far it is into it, and its token's type.
struct Spans(ExecutorLimits, Vec<f32>);

impl Executor for Spans {
    fn limits(&self) -> ExecutorLimits {
        self.0
    }

    fn forward(&mut self, batch: &Batch) -> Result<&[f32], ExecutorError> {
        self.1.clear();
        for &row in &batch.outputs {
            let span = batch.spans.iter().find(|span| span.rows.contains(&(row as usize))).expect("a span");
            let numbers =
                [span.rows.len(), span.position + row as usize - span.rows.start, batch.kind(row as usize) as usize];
            self.1.extend(numbers.map(|number| number as f32));
        }
        Ok(&self.1)
    }
}

#[test]
fn texts_that_are_read_whole_are_in_one_batch() {
    let limits = ExecutorLimits { max_tokens: 8, max_outputs: 6, kv_blocks: 8, block_len: 4, state_slots: 0, vocab: 3 };
    let mut encoder = Encoder::whole(Spans(limits, vec![]));
    // The second does not fit beside the first, the third does; the last two never fit.
    for (id, (length, pooling)) in
        (0..).zip([(5, Pooling::Last), (6, Pooling::Rows), (3, Pooling::Last), (9, Pooling::Last), (7, Pooling::Mean)])
    {
        let second = (id == 1).then_some(4);
        encoder.push(EncoderText { second, ..text(id, &vec![1; length], pooling) });
    }
    let mut ended = Vectors::new();
    while !encoder.is_idle() {
        ended.extend(encoder.step());
    }
    assert_eq!(ended[&0], Ok(vec![5.0, 4.0, 0.0]));
    let rows = [0, 1, 2, 3, 4, 5].map(|i| [6.0, i as f32, f32::from(u8::from(i >= 4))]);
    assert_eq!(ended[&1], Ok(rows.concat()));
    assert_eq!(ended[&2], Ok(vec![3.0, 2.0, 0.0]));
    for (id, most) in [(3, "1 to 8"), (4, "1 to 6")] {
        let error = ended[&id].as_ref().expect_err("refused").to_string();
        assert!(error.contains(most), "{error}");
    }
}
