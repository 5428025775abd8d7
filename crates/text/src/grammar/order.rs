//! The rules so that each comes after those that it refers to; where there is no such order, the circle that forbids it.

use super::{Grammar, GrammarError, Node};

/// The places of all rules, each after those it refers to.
pub(super) fn bottom_up(grammar: &Grammar) -> Result<Vec<usize>, GrammarError> {
    let uses = uses(grammar);
    let (order, open) = sorted(&uses);
    match (0..open.len()).find(|&rule| open[rule] > 0) {
        None => Ok(order),
        Some(stuck) => Err(circle(grammar, &uses, &open, stuck)),
    }
}

/// Whether each rule leads to one that refers to itself.
pub(super) fn circular(grammar: &Grammar) -> Vec<bool> {
    sorted(&uses(grammar)).1.into_iter().map(|open| open > 0).collect()
}

fn uses(grammar: &Grammar) -> Vec<Vec<usize>> {
    grammar.rules.iter().map(|rule| references(&rule.body)).collect()
}

/// The rules in order as far as there is one, and how many references of each lead to a circle.
fn sorted(uses: &[Vec<usize>]) -> (Vec<usize>, Vec<usize>) {
    let mut users = vec![Vec::new(); uses.len()];
    for (user, used) in uses.iter().enumerate() {
        used.iter().for_each(|&used| users[used].push(user));
    }
    let mut open: Vec<usize> = uses.iter().map(Vec::len).collect();
    let mut order: Vec<usize> = (0..open.len()).filter(|&rule| open[rule] == 0).collect();
    let mut done = 0;
    while let Some(&rule) = order.get(done) {
        done += 1;
        for &user in &users[rule] {
            open[user] -= 1;
            if open[user] == 0 {
                order.push(user);
            }
        }
    }
    (order, open)
}

/// Every rule that a node refers to, once for each time.
fn references(node: &Node) -> Vec<usize> {
    match node {
        Node::Rule(rule) => vec![*rule],
        other => other.parts().iter().flat_map(references).collect(),
    }
}

/// Names a circle: from a rule that waits for others, one that waits always leads to one that waits.
fn circle(grammar: &Grammar, uses: &[Vec<usize>], open: &[usize], stuck: usize) -> GrammarError {
    let mut path = vec![stuck];
    let mut met = vec![None; uses.len()];
    let start = loop {
        let at = path[path.len() - 1];
        if let Some(first) = met[at].replace(path.len() - 1) {
            break first;
        }
        match uses[at].iter().find(|&&next| open[next] > 0) {
            Some(&next) => path.push(next),
            None => break 0,
        }
    };
    let names: Vec<&str> = path[start..].iter().map(|&rule| grammar.rules[rule].name.as_str()).collect();
    let message = format!("a rule must not lead to itself: {}; repeat with * or + instead", names.join(" → "));
    GrammarError { line: grammar.rules[path[start]].line, message }
}
