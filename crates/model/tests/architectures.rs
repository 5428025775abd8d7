//! Every architecture gives the logits that transformers gives, on the reference interpreter.

#[path = "support/golden.rs"]
mod golden;

use graph::Interpreter;

#[test]
fn logits_are_those_of_transformers() {
    for name in golden::names() {
        golden::check(&name, &Interpreter);
    }
}
