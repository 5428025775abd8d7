//! Statements from tokens.

use std::sync::Arc;

use super::JinjaError;
use super::ast::{Expr, For, Macro, Postfix, Statement, StatementKind, Target};
use super::lexer::{Kind, Token, tokens};

/// How deep statements and expressions may be nested.
const DEEPEST: usize = 60;

/// Parses a template.
///
/// # Errors
/// If it is not valid.
pub(super) fn parse(source: &str) -> Result<Vec<Statement>, JinjaError> {
    let mut parser = Parser { tokens: tokens(source)?, at: 0, before: 0, depth: 0 };
    let statements = parser.statements(&[])?;
    match parser.peek() {
        Kind::End => Ok(statements),
        _ => Err(parser.error("it ends nothing")),
    }
}

pub(super) struct Parser {
    tokens: Vec<Token>,
    at: usize,
    /// Before the last token that was read.
    before: usize,
    depth: usize,
}

impl Parser {
    pub(super) fn peek(&self) -> &Kind {
        &self.tokens[self.at].kind
    }

    pub(super) fn peek_second(&self) -> &Kind {
        &self.tokens[(self.at + 1).min(self.tokens.len() - 1)].kind
    }

    /// Unreads the last token.
    pub(super) fn back(&mut self) {
        self.at = self.before;
    }

    fn line(&self) -> usize {
        self.tokens[self.at].line
    }

    pub(super) fn next(&mut self) -> Kind {
        let kind = self.tokens[self.at].kind.clone();
        self.before = self.at;
        self.at += usize::from(kind != Kind::End);
        kind
    }

    pub(super) fn error(&self, problem: &str) -> JinjaError {
        let found = match self.peek() {
            Kind::Name(name) => format!("{name:?}"),
            Kind::Operator(operator) => format!("{operator:?}"),
            Kind::Text(_) => "a text".into(),
            Kind::Integer(_) | Kind::Float(_) => "a number".into(),
            Kind::End => "the end".into(),
            _ => "the end of a tag".into(),
        };
        JinjaError::new(format!("{found} is out of place: {problem}")).at(self.line())
    }

    pub(super) fn is_operator(&self, operator: &str) -> bool {
        matches!(self.peek(), Kind::Operator(found) if *found == operator)
    }

    pub(super) fn is_name(&self, name: &str) -> bool {
        matches!(self.peek(), Kind::Name(found) if **found == *name)
    }

    pub(super) fn skip_operator(&mut self, operator: &str) -> bool {
        let is = self.is_operator(operator);
        self.at += usize::from(is);
        is
    }

    pub(super) fn skip_name(&mut self, name: &str) -> bool {
        let is = self.is_name(name);
        self.at += usize::from(is);
        is
    }

    pub(super) fn expect(&mut self, operator: &str) -> Result<(), JinjaError> {
        if self.skip_operator(operator) { Ok(()) } else { Err(self.error(&format!("{operator:?} is expected"))) }
    }

    pub(super) fn name(&mut self) -> Result<Arc<str>, JinjaError> {
        match self.next() {
            Kind::Name(name) => Ok(name),
            _ => {
                self.back();
                Err(self.error("a name is expected"))
            }
        }
    }

    /// Parses what is nested.
    pub(super) fn nested<T>(
        &mut self,
        parse: impl FnOnce(&mut Self) -> Result<T, JinjaError>,
    ) -> Result<T, JinjaError> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.error("it is nested too deep"));
        }
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    /// Statements up to a tag of one of these names, which is entered but not read, or to the end.
    fn statements(&mut self, ends: &[&str]) -> Result<Vec<Statement>, JinjaError> {
        let mut statements = Vec::new();
        loop {
            let line = self.line();
            let kind = match self.next() {
                Kind::Data(text) => StatementKind::Data(text),
                Kind::VariableBegin => {
                    let value = self.tuple()?;
                    self.end(&Kind::VariableEnd)?;
                    StatementKind::Output(value)
                }
                Kind::BlockBegin if ends.iter().any(|end| self.is_name(end)) => return Ok(statements),
                Kind::BlockBegin => match self.nested(Parser::statement)? {
                    Some(kind) => kind,
                    None => continue,
                },
                Kind::End if ends.is_empty() => return Ok(statements),
                _ => return Err(self.error(&format!("{{% {} %}} is missing", ends[ends.len() - 1]))),
            };
            statements.push(Statement { kind, line });
        }
    }

    fn end(&mut self, kind: &Kind) -> Result<(), JinjaError> {
        if self.peek() != kind {
            return Err(self.error("the end of the tag is expected"));
        }
        self.at += 1;
        Ok(())
    }

    /// The end of a tag, statements, and the tag that ends them.
    fn body(&mut self, end: &str) -> Result<Vec<Statement>, JinjaError> {
        self.end(&Kind::BlockEnd)?;
        let body = self.statements(&[end])?;
        self.at += 1;
        Ok(body)
    }

    fn statement(&mut self) -> Result<Option<StatementKind>, JinjaError> {
        let name = self.name()?;
        let kind = match &*name {
            "if" => self.if_statement()?,
            "for" => self.for_statement()?,
            "set" => self.set()?,
            "macro" => StatementKind::Macro(Arc::new(self.macro_definition()?)),
            "call" => self.call()?,
            "filter" => {
                let filters = self.filters()?;
                StatementKind::Filter(filters, self.body("endfilter")?)
            }
            "with" => self.with()?,
            // What marks the model's own words changes nothing in what is written, but has a scope of its own.
            "generation" => StatementKind::With(Vec::new(), self.body("endgeneration")?),
            "break" => StatementKind::Break,
            "continue" => StatementKind::Continue,
            _ => {
                self.back();
                return Err(self.error("chat templates have no such tag"));
            }
        };
        self.end(&Kind::BlockEnd)?;
        Ok(Some(kind))
    }

    fn if_statement(&mut self) -> Result<StatementKind, JinjaError> {
        let mut branches = Vec::new();
        loop {
            let condition = self.tuple()?;
            self.end(&Kind::BlockEnd)?;
            branches.push((condition, self.statements(&["elif", "else", "endif"])?));
            if self.skip_name("elif") {
                continue;
            }
            let otherwise = if self.skip_name("else") { self.body("endif")? } else { Vec::new() };
            self.skip_name("endif");
            return Ok(StatementKind::If(branches, otherwise));
        }
    }

    fn for_statement(&mut self) -> Result<StatementKind, JinjaError> {
        let target = self.target()?;
        if !self.skip_name("in") {
            return Err(self.error("\"in\" is expected"));
        }
        let items = self.tuple_of(Parser::without_condition)?;
        let condition = if self.skip_name("if") { Some(self.expression()?) } else { None };
        let recursive = self.skip_name("recursive");
        self.end(&Kind::BlockEnd)?;
        let body = self.statements(&["else", "endfor"])?;
        let otherwise = if self.skip_name("else") { self.body("endfor")? } else { Vec::new() };
        self.skip_name("endfor");
        Ok(StatementKind::For(Arc::new(For { target, items, condition, recursive, body, otherwise })))
    }

    fn target(&mut self) -> Result<Target, JinjaError> {
        let mut targets = vec![self.one_target()?];
        let mut tuple = false;
        while self.skip_operator(",") {
            tuple = true;
            if !matches!(self.peek(), Kind::Name(name) if &**name != "in") && !self.is_operator("(") {
                break;
            }
            targets.push(self.one_target()?);
        }
        Ok(if tuple { Target::Tuple(targets) } else { targets.remove(0) })
    }

    fn one_target(&mut self) -> Result<Target, JinjaError> {
        if self.skip_operator("(") {
            let target = self.nested(Parser::target)?;
            self.expect(")")?;
            return Ok(target);
        }
        let name = self.name()?;
        if self.skip_operator(".") { Ok(Target::Attribute(name, self.name()?)) } else { Ok(Target::Name(name)) }
    }

    fn set(&mut self) -> Result<StatementKind, JinjaError> {
        let target = self.target()?;
        if self.skip_operator("=") {
            return Ok(StatementKind::Set(target, self.tuple()?));
        }
        let filters = if self.skip_operator("|") { self.filters()? } else { Vec::new() };
        Ok(StatementKind::SetBlock(target, filters, self.body("endset")?))
    }

    /// Filters without a value before them.
    fn filters(&mut self) -> Result<Vec<Postfix>, JinjaError> {
        let mut filters = vec![self.filter()?];
        while self.skip_operator("|") {
            filters.push(self.filter()?);
        }
        Ok(filters)
    }

    fn macro_definition(&mut self) -> Result<Macro, JinjaError> {
        let name = self.name()?;
        let parameters = self.parameters()?;
        Ok(Macro { name, parameters, body: self.body("endmacro")? })
    }

    fn parameters(&mut self) -> Result<Vec<(Arc<str>, Option<Expr>)>, JinjaError> {
        self.expect("(")?;
        let mut parameters = Vec::new();
        while !self.skip_operator(")") {
            if !parameters.is_empty() {
                self.expect(",")?;
                if self.skip_operator(")") {
                    break;
                }
            }
            let name = self.name()?;
            let default = if self.skip_operator("=") { Some(self.expression()?) } else { None };
            parameters.push((name, default));
        }
        Ok(parameters)
    }

    fn call(&mut self) -> Result<StatementKind, JinjaError> {
        let parameters = if self.is_operator("(") { self.parameters()? } else { Vec::new() };
        let call = self.expression()?;
        let body = self.body("endcall")?;
        Ok(StatementKind::Call(call, Arc::new(Macro { name: "caller".into(), parameters, body })))
    }

    fn with(&mut self) -> Result<StatementKind, JinjaError> {
        let mut values = Vec::new();
        while *self.peek() != Kind::BlockEnd {
            if !values.is_empty() {
                self.expect(",")?;
            }
            let target = self.one_target()?;
            self.expect("=")?;
            values.push((target, self.expression()?));
        }
        Ok(StatementKind::With(values, self.body("endwith")?))
    }
}
