//! Which kernels are wanted: rules such as `product=held`, `product@64+=amx/4`, from the most general to the most special as they are
//! given. The last one that fits an operator holds.

use std::fmt;
use std::str::FromStr;

use graph::{Graph, Node};
use kernels::{Choice, Isa, Kernel, RowClass, Tuning};

use super::describe::operator_shape;

/// A kernel for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelRule {
    /// The operators' name, such as `product`.
    pub op: String,
    /// Only for so many rows.
    pub rows: Option<RowClass>,
    /// Only those of this shape, as a plan names it.
    pub shape: Option<String>,
    /// The kernel.
    pub kernel: Kernel,
}

/// What `--kernel` sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KernelSetting {
    /// A kernel for operators; the bits are the same with each.
    Rule(KernelRule),
    /// The instruction set of all kernels, `isa=avx2`: two of them may give other bits.
    Isa(Isa),
}

impl FromStr for KernelSetting {
    type Err = String;

    fn from_str(text: &str) -> Result<KernelSetting, String> {
        let form = || format!("{text:?} is no OP=KERNEL, such as product=held, product@64+=held/4 or isa=avx2");
        let (place, name) = text.rsplit_once('=').ok_or_else(form)?;
        if place == "isa" {
            let known = || Isa::available().map(Isa::name).collect::<Vec<_>>().join(", ");
            let found = Isa::available().find(|isa| isa.name() == name);
            let missing = || format!("this machine has no instruction set {name:?}; it has {}", known());
            return found.map(KernelSetting::Isa).ok_or_else(missing);
        }
        let (place, shape) = place.split_once(':').map_or((place, None), |(place, shape)| (place, Some(shape)));
        let (op, rows) = place.split_once('@').map_or((place, None), |(op, rows)| (op, Some(rows)));
        if op.is_empty() {
            return Err(form());
        }
        let classes = || RowClass::ALL.map(RowClass::name).join(", ");
        let class = |name: &str| RowClass::named(name).ok_or_else(|| format!("rows are {}, not {name:?}", classes()));
        let kernel = name.parse::<Kernel>().map_err(|why| why.to_string())?;
        let (op, shape) = (op.to_owned(), shape.map(str::to_owned));
        Ok(KernelSetting::Rule(KernelRule { op, rows: rows.map(class).transpose()?, shape, kernel }))
    }
}

impl fmt::Display for KernelRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.op)?;
        self.rows.map_or(Ok(()), |rows| write!(f, "@{}", rows.name()))?;
        self.shape.as_ref().map_or(Ok(()), |shape| write!(f, ":{shape}"))?;
        write!(f, "={}", self.kernel)
    }
}

impl KernelRule {
    fn fits(&self, graph: &Graph, node: &Node) -> bool {
        self.op == node.op.name() && self.shape.as_ref().is_none_or(|shape| *shape == operator_shape(graph, node))
    }
}

/// The kernels of a program of `graph` by some rules, over those that `base` has.
///
/// # Errors
/// If a rule fits no operator, or none of those that it fits has its kernel.
pub(crate) fn choice(graph: &Graph, tuning: &Tuning, rules: &[KernelRule], base: Choice) -> Result<Choice, String> {
    let mut choice = base;
    choice.resize(graph.nodes().len(), Default::default());
    for rule in rules {
        let fitting: Vec<usize> =
            graph.nodes().iter().enumerate().filter(|(_, node)| rule.fits(graph, node)).map(|(at, _)| at).collect();
        let has = |at: &&usize| tuning.ways()[**at].iter().any(|way| way.way() == rule.kernel.way());
        let able: Vec<&usize> = fitting.iter().filter(has).collect();
        if able.is_empty() {
            return Err(refused(rule, graph, tuning, &fitting));
        }
        for &at in able {
            for class in RowClass::ALL.into_iter().filter(|class| rule.rows.is_none_or(|rows| rows == *class)) {
                choice[at][class as usize] = rule.kernel;
            }
        }
    }
    Ok(choice)
}

/// Why no operator can follow a rule.
fn refused(rule: &KernelRule, graph: &Graph, tuning: &Tuning, fitting: &[usize]) -> String {
    let list = |mut names: Vec<String>| {
        names.sort();
        names.dedup();
        names.join(", ")
    };
    let of = |at: usize| tuning.ways()[at].iter().map(ToString::to_string);
    match fitting {
        [] => {
            let all = graph.nodes().iter().zip(tuning.ways()).filter(|(_, ways)| !ways.is_empty());
            let all = list(all.map(|(node, _)| node.op.name().to_owned()).collect());
            format!("{rule}: the plan has no such operator; those with a choice are {all}")
        }
        fitting => {
            let all = list(fitting.iter().flat_map(|&at| of(at)).collect());
            let all = if all.is_empty() { "no choice".to_owned() } else { all };
            format!("{rule}: the operator has {all} here")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_read_as_it_is_written() {
        for text in ["product=held", "product@64+=held/4", "attention@1=split", "product@1:Q8_0 [64, 32]=registers/2"] {
            match text.parse() {
                Ok(KernelSetting::Rule(rule)) => assert_eq!(rule.to_string(), text),
                other => panic!("{text}: {other:?}"),
            }
        }
        assert_eq!("isa=portable".parse(), Ok(KernelSetting::Isa(Isa::Portable)));
    }

    #[test]
    fn what_is_no_rule_says_what_one_is() {
        for (text, part) in [
            ("held", "is no OP=KERNEL"),
            ("=held", "is no OP=KERNEL"),
            ("product=fast", "there is no kernel \"fast\"; the names are auto, registers"),
            ("product@3=held", "rows are 1, 2-8, 9-63, 64+, not \"3\""),
            ("isa=z80", "this machine has no instruction set \"z80\"; it has "),
        ] {
            let error = text.parse::<KernelSetting>().expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
