//! A template as a tree. Chains of operators, filters and alternatives are lists, so that it is no deeper than it is nested.

use std::sync::Arc;

#[derive(Debug)]
pub(super) enum Expr {
    None,
    Bool(bool),
    Integer(i128),
    Float(f64),
    Text(Arc<str>),
    Name(Arc<str>),
    List(Vec<Expr>),
    Tuple(Vec<Expr>),
    Dict(Vec<(Expr, Expr)>),
    Not(Box<Expr>),
    Negative(Box<Expr>),
    Positive(Box<Expr>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    /// `a ~ b`.
    Join(Vec<Expr>),
    /// Operators of one rank, from the left.
    Arithmetic(Box<Expr>, Vec<(Operator, Expr)>),
    Compare(Box<Expr>, Vec<(Comparison, Expr)>),
    /// `a if b else c`.
    If(Box<[Expr; 2]>, Option<Box<Expr>>),
    Postfix(Box<Expr>, Vec<Postfix>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    DivideWhole,
    Remainder,
    Power,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    NotIn,
}

/// What is done to a value.
#[derive(Debug)]
pub(super) enum Postfix {
    Attribute(Arc<str>),
    Item(Expr),
    Slice(Box<[Option<Expr>; 3]>),
    Call(Arguments),
    Filter(Arc<str>, Arguments),
    Test { name: Arc<str>, arguments: Arguments, negated: bool },
}

#[derive(Debug, Default)]
pub(super) struct Arguments {
    pub positional: Vec<Expr>,
    pub named: Vec<(Arc<str>, Expr)>,
}

#[derive(Debug)]
pub(super) struct Statement {
    pub kind: StatementKind,
    pub line: usize,
}

#[derive(Debug)]
pub(super) enum StatementKind {
    Data(Arc<str>),
    Output(Expr),
    /// Each branch with its condition, and what is done if none holds.
    If(Vec<(Expr, Vec<Statement>)>, Vec<Statement>),
    For(Arc<For>),
    Set(Target, Expr),
    /// What the statements write, through filters.
    SetBlock(Target, Vec<Postfix>, Vec<Statement>),
    Macro(Arc<Macro>),
    /// A call with a body, `caller()`.
    Call(Expr, Arc<Macro>),
    Filter(Vec<Postfix>, Vec<Statement>),
    With(Vec<(Target, Expr)>, Vec<Statement>),
    Break,
    Continue,
}

#[derive(Debug)]
pub(super) struct For {
    pub target: Target,
    pub items: Expr,
    pub condition: Option<Expr>,
    pub recursive: bool,
    pub body: Vec<Statement>,
    pub otherwise: Vec<Statement>,
}

/// What is assigned to.
#[derive(Debug)]
pub(super) enum Target {
    Name(Arc<str>),
    /// An attribute of a namespace.
    Attribute(Arc<str>, Arc<str>),
    Tuple(Vec<Target>),
}

#[derive(Debug)]
pub(super) struct Macro {
    pub name: Arc<str>,
    /// Parameters, and the defaults of the last of them.
    pub parameters: Vec<(Arc<str>, Option<Expr>)>,
    pub body: Vec<Statement>,
}
