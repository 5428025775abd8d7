//! Values as Python prints them within others.

use super::text::{Text, Writer};
use super::value::Value;
use crate::classes::PRINTABLE;

/// Writes what `repr` gives.
pub(super) fn write(value: &Value, out: &mut Writer<'_>) {
    match value {
        _ if out.is_full() => {}
        Value::Undefined(_) => out.template("Undefined"),
        Value::None => out.template("None"),
        Value::Bool(value) => out.template(if *value { "True" } else { "False" }),
        Value::Integer(number) => out.template(&number.to_string()),
        Value::Float(number) => out.template(&float(*number)),
        Value::Text(value) => text(value, out),
        Value::List(list) => {
            out.template(if list.tuple { "(" } else { "[" });
            for (i, item) in list.items().iter().enumerate() {
                out.template(if i > 0 { ", " } else { "" });
                write(item, out);
            }
            out.template(if list.tuple && list.len() == 1 { "," } else { "" });
            out.template(if list.tuple { ")" } else { "]" });
        }
        Value::Map(map) => {
            out.template("{");
            for (i, (key, value)) in map.entries.iter().enumerate() {
                out.template(if i > 0 { ", " } else { "" });
                write(key, out);
                out.template(": ");
                write(value, out);
            }
            out.template("}");
        }
        Value::Namespace(_) => out.template("<Namespace>"),
        Value::Function(_) | Value::Method(_) => out.template("<function>"),
        Value::Macro(definition, _) => out.template(&format!("<Macro {:?}>", definition.name)),
        Value::Loop(_) => out.template("<LoopContext>"),
    }
}

fn text(value: &Text, out: &mut Writer<'_>) {
    let quote = if value.as_str().contains('\'') && !value.as_str().contains('"') { '"' } else { '\'' };
    let mut mark = [0; 4];
    out.template(quote.encode_utf8(&mut mark));
    out.mapped(value, |part| part.chars().map(|c| escaped(c, quote)).collect());
    out.template(quote.encode_utf8(&mut mark));
}

fn escaped(c: char, quote: char) -> String {
    match c {
        '\n' => "\\n".into(),
        '\r' => "\\r".into(),
        '\t' => "\\t".into(),
        '\\' => "\\\\".into(),
        c if c == quote => format!("\\{c}"),
        ' ' => " ".into(),
        c if PRINTABLE.has(c) => c.into(),
        c => match u32::from(c) {
            code @ 0..=0xff => format!("\\x{code:02x}"),
            code @ 0x100..=0xffff => format!("\\u{code:04x}"),
            code => format!("\\U{code:08x}"),
        },
    }
}

/// A float as Python writes it: the shortest digits that give it back, an exponent from 1e16 up and below 1e-4.
pub(super) fn float(x: f64) -> String {
    if x.is_nan() {
        return "nan".into();
    }
    if x.is_infinite() {
        return if x > 0.0 { "inf" } else { "-inf" }.into();
    }
    if x == 0.0 || (1e-4..1e16).contains(&x.abs()) {
        return format!("{x:?}");
    }
    let text = format!("{x:e}");
    match text.split_once('e') {
        Some((digits, power)) => {
            let (sign, power) = power.strip_prefix('-').map_or(('+', power), |p| ('-', p));
            format!("{digits}e{sign}{power:0>2}")
        }
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_as_python_writes_them() {
        let check = |x: f64, expected: &str| assert_eq!(float(x), expected);
        check(1.0, "1.0");
        check(-0.1, "-0.1");
        check(1e15, "1000000000000000.0");
        check(1e16, "1e+16");
        check(1.5e-7, "1.5e-07");
        check(1e-4, "0.0001");
        check(1e300, "1e+300");
        check(0.0, "0.0");
    }
}
