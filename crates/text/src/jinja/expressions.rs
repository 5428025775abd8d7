//! Expressions from tokens, with the ranks that Jinja2 gives to operators.

use super::JinjaError;
use super::ast::{Arguments, Comparison, Expr, Operator, Postfix};
use super::lexer::Kind;
use super::parser::Parser;

type Parsed = Result<Expr, JinjaError>;

impl Parser {
    /// An expression, or several with commas between: a tuple.
    pub(super) fn tuple(&mut self) -> Parsed {
        self.tuple_of(Parser::expression)
    }

    pub(super) fn tuple_of(&mut self, item: fn(&mut Parser) -> Parsed) -> Parsed {
        let first = item(self)?;
        if !self.is_operator(",") {
            return Ok(first);
        }
        let mut items = vec![first];
        while self.skip_operator(",") && !self.ends_tuple() {
            items.push(item(self)?);
        }
        Ok(Expr::Tuple(items))
    }

    fn ends_tuple(&self) -> bool {
        match self.peek() {
            Kind::VariableEnd | Kind::BlockEnd | Kind::Operator(")") => true,
            Kind::Name(name) => matches!(&**name, "if" | "recursive" | "in"),
            _ => false,
        }
    }

    /// An expression.
    pub(super) fn expression(&mut self) -> Parsed {
        self.nested(|parser| {
            let mut value = parser.or()?;
            while parser.skip_name("if") {
                let condition = parser.or()?;
                let otherwise = if parser.skip_name("else") { Some(Box::new(parser.expression()?)) } else { None };
                value = Expr::If(Box::new([value, condition]), otherwise);
            }
            Ok(value)
        })
    }

    /// An expression that an `if` ends: in a loop it filters the items.
    pub(super) fn without_condition(&mut self) -> Parsed {
        self.nested(Parser::or)
    }

    fn or(&mut self) -> Parsed {
        self.list_of("or", Parser::and, Expr::Or)
    }

    fn and(&mut self) -> Parsed {
        self.list_of("and", Parser::not, Expr::And)
    }

    fn list_of(&mut self, word: &str, item: fn(&mut Parser) -> Parsed, make: fn(Vec<Expr>) -> Expr) -> Parsed {
        let first = item(self)?;
        if !self.is_name(word) {
            return Ok(first);
        }
        let mut items = vec![first];
        while self.skip_name(word) {
            items.push(item(self)?);
        }
        Ok(make(items))
    }

    fn not(&mut self) -> Parsed {
        if !self.skip_name("not") {
            return self.compare();
        }
        Ok(Expr::Not(Box::new(self.nested(Parser::not)?)))
    }

    fn compare(&mut self) -> Parsed {
        let first = self.sum()?;
        let mut others = Vec::new();
        while let Some(comparison) = self.comparison() {
            others.push((comparison, self.sum()?));
        }
        Ok(if others.is_empty() { first } else { Expr::Compare(Box::new(first), others) })
    }

    fn comparison(&mut self) -> Option<Comparison> {
        let operators = [
            ("==", Comparison::Equal),
            ("!=", Comparison::NotEqual),
            ("<=", Comparison::LessOrEqual),
            (">=", Comparison::GreaterOrEqual),
            ("<", Comparison::Less),
            (">", Comparison::Greater),
        ];
        if let Some((_, comparison)) = operators.iter().find(|(operator, _)| self.skip_operator(operator)) {
            return Some(*comparison);
        }
        if self.skip_name("in") {
            return Some(Comparison::In);
        }
        if self.is_name("not") && matches!(self.peek_second(), Kind::Name(name) if &**name == "in") {
            self.next();
            self.next();
            return Some(Comparison::NotIn);
        }
        None
    }

    fn sum(&mut self) -> Parsed {
        self.arithmetic(&[("+", Operator::Add), ("-", Operator::Subtract)], Parser::join)
    }

    fn join(&mut self) -> Parsed {
        let first = self.product()?;
        if !self.is_operator("~") {
            return Ok(first);
        }
        let mut items = vec![first];
        while self.skip_operator("~") {
            items.push(self.product()?);
        }
        Ok(Expr::Join(items))
    }

    fn product(&mut self) -> Parsed {
        let operators = [
            ("*", Operator::Multiply),
            ("/", Operator::Divide),
            ("//", Operator::DivideWhole),
            ("%", Operator::Remainder),
        ];
        self.arithmetic(&operators, |parser| parser.arithmetic(&[("**", Operator::Power)], |parser| parser.unary(true)))
    }

    fn arithmetic(&mut self, operators: &[(&str, Operator)], operand: fn(&mut Parser) -> Parsed) -> Parsed {
        let first = operand(self)?;
        let mut others = Vec::new();
        while let Some((_, operator)) = operators.iter().find(|(operator, _)| self.skip_operator(operator)) {
            others.push((*operator, operand(self)?));
        }
        Ok(if others.is_empty() { first } else { Expr::Arithmetic(Box::new(first), others) })
    }

    /// A value with its sign and, if wanted, its filters: those are of the value with the sign.
    fn unary(&mut self, filters: bool) -> Parsed {
        let value = match () {
            () if self.skip_operator("-") => Expr::Negative(Box::new(self.nested(|parser| parser.unary(false))?)),
            () if self.skip_operator("+") => Expr::Positive(Box::new(self.nested(|parser| parser.unary(false))?)),
            () => self.primary()?,
        };
        let mut postfixes = Vec::new();
        self.subscripts(&mut postfixes)?;
        if filters {
            self.filters_and_tests(&mut postfixes)?;
        }
        Ok(if postfixes.is_empty() { value } else { Expr::Postfix(Box::new(value), postfixes) })
    }

    fn primary(&mut self) -> Parsed {
        let token = self.next();
        Ok(match token {
            Kind::Name(name) => match &*name {
                "true" | "True" => Expr::Bool(true),
                "false" | "False" => Expr::Bool(false),
                "none" | "None" => Expr::None,
                _ => Expr::Name(name),
            },
            Kind::Text(text) => {
                let mut all = text.to_string();
                while let Kind::Text(more) = self.peek() {
                    all.push_str(more);
                    self.next();
                }
                Expr::Text(all.into())
            }
            Kind::Integer(number) => Expr::Integer(number),
            Kind::Float(number) => Expr::Float(number),
            Kind::Operator("(") => {
                if self.skip_operator(")") {
                    return Ok(Expr::Tuple(Vec::new()));
                }
                let value = self.tuple()?;
                self.expect(")")?;
                value
            }
            Kind::Operator("[") => Expr::List(self.items("]", Parser::expression)?),
            Kind::Operator("{") => Expr::Dict(self.items("}", |parser| {
                let key = parser.expression()?;
                parser.expect(":")?;
                Ok((key, parser.expression()?))
            })?),
            _ => {
                self.back();
                return Err(self.error("a value is expected"));
            }
        })
    }

    fn items<T>(
        &mut self,
        end: &str,
        item: impl Fn(&mut Parser) -> Result<T, JinjaError>,
    ) -> Result<Vec<T>, JinjaError> {
        let mut items = Vec::new();
        while !self.skip_operator(end) {
            if !items.is_empty() {
                self.expect(",")?;
                if self.skip_operator(end) {
                    break;
                }
            }
            items.push(item(self)?);
        }
        Ok(items)
    }

    fn subscripts(&mut self, out: &mut Vec<Postfix>) -> Result<(), JinjaError> {
        loop {
            out.push(match () {
                () if self.skip_operator(".") => match self.next() {
                    Kind::Name(name) => Postfix::Attribute(name),
                    Kind::Integer(index) => Postfix::Item(Expr::Integer(index)),
                    _ => {
                        self.back();
                        return Err(self.error("a name is expected"));
                    }
                },
                () if self.skip_operator("[") => self.subscript()?,
                () if self.is_operator("(") => Postfix::Call(self.arguments()?),
                () => return Ok(()),
            });
        }
    }

    fn subscript(&mut self) -> Result<Postfix, JinjaError> {
        let mut parts = [None, None, None];
        let mut colons = 0;
        loop {
            if self.skip_operator("]") {
                break;
            }
            if colons < 2 && self.skip_operator(":") {
                colons += 1;
                continue;
            }
            if parts[colons].is_some() {
                return Err(self.error("\"]\" is expected"));
            }
            parts[colons] = Some(self.expression()?);
        }
        match (colons, parts) {
            (0, [Some(index), ..]) => Ok(Postfix::Item(index)),
            (0, _) => Err(self.error("an index is expected")),
            (_, parts) => Ok(Postfix::Slice(Box::new(parts))),
        }
    }

    fn filters_and_tests(&mut self, out: &mut Vec<Postfix>) -> Result<(), JinjaError> {
        loop {
            out.push(match () {
                () if self.skip_operator("|") => self.filter()?,
                () if self.skip_name("is") => self.test()?,
                () if self.is_operator("(") => Postfix::Call(self.arguments()?),
                () => return Ok(()),
            });
        }
    }

    pub(super) fn filter(&mut self) -> Result<Postfix, JinjaError> {
        let name = self.name()?;
        let arguments = if self.is_operator("(") { self.arguments()? } else { Arguments::default() };
        Ok(Postfix::Filter(name, arguments))
    }

    fn test(&mut self) -> Result<Postfix, JinjaError> {
        let negated = self.skip_name("not");
        let name = self.name()?;
        let takes = match self.peek() {
            Kind::Text(_) | Kind::Integer(_) | Kind::Float(_) | Kind::Operator("[" | "{") => true,
            Kind::Name(name) => !matches!(&**name, "else" | "or" | "and" | "if" | "is" | "not" | "in" | "recursive"),
            _ => false,
        };
        let arguments = match () {
            () if self.is_operator("(") => self.arguments()?,
            () if takes => {
                let value = self.primary()?;
                let mut postfixes = Vec::new();
                self.subscripts(&mut postfixes)?;
                Arguments { positional: vec![Expr::Postfix(Box::new(value), postfixes)], named: Vec::new() }
            }
            () => Arguments::default(),
        };
        Ok(Postfix::Test { name, arguments, negated })
    }

    fn arguments(&mut self) -> Result<Arguments, JinjaError> {
        self.expect("(")?;
        let mut arguments = Arguments::default();
        let mut first = true;
        while !self.skip_operator(")") {
            if !first {
                self.expect(",")?;
                if self.skip_operator(")") {
                    break;
                }
            }
            first = false;
            match (self.peek().clone(), self.peek_second()) {
                (Kind::Name(name), Kind::Operator("=")) => {
                    self.next();
                    self.next();
                    let value = self.expression()?;
                    arguments.named.push((name, value));
                }
                _ => {
                    let value = self.expression()?;
                    arguments.positional.push(value);
                }
            }
        }
        Ok(arguments)
    }
}
