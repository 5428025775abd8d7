//! Answers that are held to a schema are valid by it, however wild the sampling.

use serde_json::{Map, Value, json};
use whinchat::{Ask, Cancel, Constrained, Constraint, Ending, InferRequest, Inference, Input, Model, Reason, Sampling};

/// Numbers by chance, the same each time (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }

    /// A schema whose documents are short.
    fn schema(&mut self, depth: u64) -> Value {
        let low = self.below(50) as i64 - 25;
        match self.below(if depth == 0 { 8 } else { 11 }) {
            0 => json!({ "type": "integer", "minimum": low, "maximum": low + self.below(300) as i64 }),
            // Digits after a point may go on for ever; whether they do is the model's.
            1 => json!({ "enum": [0.5, -2.25, 1e3] }),
            2 => json!({ "type": "string", "maxLength": self.below(12) }),
            3 => {
                json!({ "type": "string", "pattern": (["^[a-f]{2,5}$", "^\\d{3}-\\d{4}$", "^(bird|tree)s?$"][self.below(3) as usize]) })
            }
            4 => json!({ "type": "string", "format": (["date", "uuid", "ipv4"][self.below(3) as usize]) }),
            5 => json!({ "enum": ["a", 7, null, true, "whin\"chat\n", [1, 2]] }),
            6 => json!({ "const": { "of": [low, "é"] } }),
            7 => json!({ "type": ["boolean", "null"] }),
            8 => json!({ "anyOf": [self.schema(depth - 1), self.schema(depth - 1)] }),
            9 => {
                let least = self.below(3);
                let (items, most) = (self.schema(depth - 1), least + self.below(3));
                json!({ "type": "array", "items": items, "minItems": least, "maxItems": most })
            }
            _ => self.object(depth),
        }
    }

    fn object(&mut self, depth: u64) -> Value {
        let names: Vec<String> =
            (0..=self.below(4)).map(|i| ["name", "größe", "a b", "x"][i as usize % 4].into()).collect();
        let properties: Map<String, Value> =
            names.iter().map(|name| (name.clone(), self.schema(depth.saturating_sub(1)))).collect();
        let required: Vec<&String> = names.iter().filter(|_| self.below(2) == 0).collect();
        json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
    }
}

fn request(schema: &Value, seed: u64) -> InferRequest {
    let sampling = Sampling { temperature: Some(1.5), seed: Some(seed), ..Sampling::default() };
    let ending = Ending { max_tokens: Some(1500), ..Ending::default() };
    let constraint = Constraint::JsonSchema(schema.clone());
    let constrained = Some(Constrained { constraint, param: "schema".into() });
    InferRequest::new(Ask { sampling, ending, constrained, ..Ask::new(Input::text("Once upon a time")) })
}

#[test]
fn two_hundred_schemas_have_two_hundred_valid_documents() {
    let model = Model::builtin().expect("it is built in");
    let mut dice = Dice(7);
    let schemas: Vec<Value> = (0..200).map(|_| dice.object(3)).collect();
    let requests = schemas.iter().zip(0..).map(|(schema, seed)| request(schema, seed));
    let mut seen = 0;
    for (at, inference) in model.blocking().infer_batch(requests, &Cancel::new()) {
        let schema = &schemas[at];
        let Inference::Success(done) = inference else { panic!("{schema}: {inference:?}") };
        let answer = &done.answers[0];
        assert_eq!(answer.reason, Some(Reason::Stop), "{schema}: {}", answer.text);
        let document: Value = serde_json::from_str(&answer.text).unwrap_or_else(|e| panic!("{e}: {}", answer.text));
        check(schema, &document);
        seen += 1;
    }
    assert_eq!(seen, 200);
}

/// By a validator that knows nothing of how the document was made.
fn check(schema: &Value, document: &Value) {
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    compiler.enable_format_assertions();
    compiler.add_resource("schema.json", schema.clone()).expect("a resource");
    let compiled = compiler.compile("schema.json", &mut schemas).expect("a schema");
    assert!(schemas.validate(document, compiled).is_ok(), "{document} is not valid by {schema}");
}
