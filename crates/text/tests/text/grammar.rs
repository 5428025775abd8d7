//! Grammars: what they take, what is refused and why, and that texts made from a random grammar are its own.

use std::fmt::Write;

use proptest::prelude::*;
use text::Grammar;

fn matches(source: &str, text: &str) -> bool {
    let grammar = Grammar::parse(source).unwrap_or_else(|e| panic!("{source}: {e}"));
    grammar.matcher().unwrap_or_else(|e| panic!("{source}: {e}")).matches(text)
}

/// A grammar takes each of `yes` and none of `no`.
fn check(source: &str, yes: &[&str], no: &[&str]) {
    assert!(yes.iter().all(|text| matches(source, text)), "{source}: {yes:?}");
    assert!(!no.iter().any(|text| matches(source, text)), "{source}: {no:?}");
}

#[test]
fn grammars_take_whole_texts() {
    check(r#"root ::= "a""#, &["a"], &["", "aa", "b", "ab", "ba", "a\n"]);
    check(r#"root ::= "a" | "b" "c" |"#, &["a", "bc", ""], &["b", "ac", "abc"]);
    check(r#"root ::= ("a" | "b") "c""#, &["ac", "bc"], &["a", "abc"]);
    check(r#"root ::= "a"? "b"* "c"+"#, &["c", "ac", "abbcc", "bc"], &["", "a", "aac", "ab"]);
    check(r#"root ::= "ab"{2} [0-9]{1,} "x"{0,2}"#, &["abab1", "abab123xx"], &["ab1", "abab", "abab1xxx"]);
    check(r#"root ::= "ab"{ 2 , 3 }"#, &["abab", "ababab"], &["ab", "abababab"]);
    check(r#"root ::= "a"{0}"#, &[""], &["a"]);
    check("root ::= [a-cx_] [^a-c\\n] .", &["ada", "_é\n", "x1\u{10FFFF}"], &["dda", "aaa", "a\nb", "ad"]);
    check(r"root ::= [a-] [-b] [\]^] [^\]]", &["--]a", "ab^a"], &["bb]a", "ab]]"]);
    check(r#"root ::= """#, &[""], &["a"]);
    check("root ::=", &[""], &["a"]);
    check("root::=\"a\"", &["a"], &[]);
}

#[test]
fn escapes_are_characters() {
    check(r#"root ::= "\"\\\n\t\r\[\]\-""#, &["\"\\\n\t\r[]-"], &["\""]);
    check(r#"root ::= "\x41\u00e9\U0001F980" [\u0430-\u044f]"#, &["Aé🦀я"], &["Aé🦀a"]);
    check("root ::= \"naïve\"", &["naïve"], &["naive"]);
}

#[test]
fn rules_comments_and_lines() {
    let source = "# a comment with \"signs\" ::= |\n\nroot ::= (  # opens\n  \"The \" animal\n  \" sings\"\n)? end # ends\r\n\
                  animal ::= \"wren\" |\n  \"whinchat\"|\n\n  bird_2\nbird_2 ::= \"dove\"\nend ::= [.!]";
    check(source, &["The wren sings.", "The dove sings!", "."], &["The crow sings.", "The wren sings"]);
    let grammar = Grammar::parse(source).expect("valid");
    assert_eq!(grammar.rules().collect::<Vec<_>>(), ["root", "animal", "end", "bird_2"]);
}

/// A grammar is refused at a line, in words that contain each of `parts`.
fn refuse(source: &str, line: usize, parts: &[&str]) {
    let refused = Grammar::parse(source).and_then(|grammar| grammar.matcher());
    let error = refused.map(|_| ()).expect_err(source);
    assert_eq!(error.line, line, "{source}: {error}");
    for part in parts {
        assert!(error.message.contains(part), "{source}: {part} is not in: {error}");
    }
}

#[test]
fn mistakes_are_named_with_their_line() {
    refuse("", 1, &["no rule `root`", "root ::="]);
    refuse("a ::= \"x\"", 1, &["no rule `root`"]);
    refuse("root ::= a\n\n", 1, &["no rule `a`", "a ::="]);
    refuse("root ::= \"a\"\n\nroot ::= \"b\"", 3, &["`root` is defined in line 1 already"]);
    refuse("root ::= \"a\"\n  | \"b\"", 2, &["put the |"]);
    refuse("root = \"a\"", 1, &["`::=` is expected", "`root`"]);
    refuse("root ::= \"a\" \"b", 1, &["literal has no end"]);
    refuse("root ::= [a\n", 1, &["class has no end"]);
    refuse("root ::= [a-", 1, &["grammar ends"]);
    refuse("root ::= [z-a]", 1, &["'z' to 'a'"]);
    refuse("root ::= []", 1, &["class is empty"]);
    refuse("root ::= [^]", 1, &["class is empty"]);
    refuse("root ::= (\n\"a\"\n", 1, &["close it with )"]);
    refuse("root ::= \"a\")", 1, &["')' is not expected"]);
    refuse("root ::= *", 1, &["nothing stands before"]);
    refuse("root ::= \"a\" | +", 1, &["nothing stands before"]);
    refuse("root ::= \"a\"+*", 1, &["one repetition follows another"]);
    refuse("root ::= \"a\"{,3}", 1, &["{m}, {m,} or {m,n}"]);
    refuse("root ::= \"a\"{3,2}", 1, &["at least m"]);
    refuse("root ::= \"a\"{99999999999}", 1, &["{m,n}"]);
    refuse("root ::= \"a\"{2", 1, &["{m,n}"]);
    refuse(r#"root ::= "\d""#, 1, &["\\d is no escape", "\\n"]);
    refuse(r#"root ::= "\x4""#, 1, &["2 hexadecimal"]);
    refuse(r#"root ::= "\uD800""#, 1, &["U+D800 is not a character"]);
    refuse("root ::= <think>", 1, &["tokens"]);
    refuse("root ::= ä", 1, &["'ä' is not expected"]);
    refuse(&format!("root ::= {}", "(".repeat(9000)), 1, &["groups within groups"]);
}

#[test]
fn recursion_is_refused_with_its_circle() {
    refuse("root ::= \"a\" root |", 1, &["root → root", "repeat with"]);
    refuse("root ::= a\na ::= \"x\" b?\nb ::= (c)*\nc ::= a \"y\"", 2, &["a → b → c → a"]);
    refuse("root ::= \"x\"\nlost ::= lost", 2, &["lost → lost"]);
}

#[test]
fn explosions_are_refused_before_they_happen() {
    refuse("root ::= (\"a\"{1000}){1000}", 1, &["`root`", "repeat less"]);
    refuse("root ::= [^a]{100000}", 1, &["repeat less"]);
    let doubling = |levels: usize| {
        let rules = (1..levels).map(|i| format!("r{i} ::= r{} r{}\n", i + 1, i + 1)).collect::<String>();
        format!("root ::= r1\n{rules}r{levels} ::= \"a\"")
    };
    refuse(&doubling(64), 47, &["`r46`"]);
    let chain = |rules: usize| {
        let rules = (1..rules).map(|i| format!("r{i} ::= r{}\n", i + 1)).collect::<String>();
        format!("root ::= r1\n{rules}")
    };
    refuse(&(chain(100_000) + "r100000 ::= \"a\""), 99_751, &["250 levels"]);
    refuse(&(chain(100_000) + "r100000 ::= r1"), 2, &["r1 → r2 →"]);
}

/// Some hundreds of alternatives in some dozens of places are no explosion.
#[test]
fn a_large_vocabulary_is_fine() {
    let words = |kind: &str| (0..400).map(|i| format!("\"{kind}{i}\"")).collect::<Vec<_>>().join(" | ");
    let forms = (0..40).map(|i| format!("\"The \" noun \" verb{i} \" name \" and \" noun \".\"")).collect::<Vec<_>>();
    let source = format!("root ::= {}\nnoun ::= {}\nname ::= {}", forms.join(" |\n"), words("noun"), words("Name"));
    let matcher = Grammar::parse(&source).expect("valid").matcher().expect("small enough");
    assert!(matcher.matches("The noun399 verb39 Name0 and noun17."));
    assert!(!matcher.matches("The noun400 verb39 Name0 and noun17."));
}

/// A piece of a random grammar; rules refer only to later ones.
#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Class(bool, Vec<(char, char)>),
    Rule(usize),
    Sequence(Vec<Piece>),
    Choice(Vec<Piece>),
    Repeat(Box<Piece>, u32, Option<u32>),
}

fn piece() -> impl Strategy<Value = Piece> {
    let range = (any::<char>(), any::<char>()).prop_map(|(a, b)| (a.min(b), a.max(b)));
    let leaf = prop_oneof![
        ".{0,6}".prop_map(Piece::Text),
        "[\"\\[\\]^\n\r\t-]{0,4}".prop_map(Piece::Text),
        (any::<bool>(), prop::collection::vec(range, 1..4)).prop_map(|(except, ranges)| Piece::Class(except, ranges)),
        (1usize..5).prop_map(Piece::Rule),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let bounds = (0u32..3, prop::option::of(0u32..3));
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Piece::Sequence),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Piece::Choice),
            (inner, bounds).prop_map(|(piece, (least, more))| {
                Piece::Repeat(Box::new(piece), least, more.map(|more| least + more))
            }),
        ]
    })
}

/// Writes a piece as GBNF; `last` is the number of the last rule.
fn write(piece: &Piece, rule: usize, last: usize, out: &mut String) {
    match piece {
        Piece::Text(text) => {
            let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").replace('\r', "\\x0d");
            *out += &format!("\"{escaped}\"");
        }
        Piece::Class(except, ranges) => {
            *out += if *except { "[^" } else { "[" };
            ranges.iter().for_each(|(a, b)| _ = write!(out, "\\U{:08x}-\\U{:08X}", *a as u32, *b as u32));
            *out += "]";
        }
        Piece::Rule(step) if rule + step <= last => *out += &format!("r-{}", rule + step),
        Piece::Rule(_) => *out += "\"\"",
        Piece::Sequence(all) => group(all, " # and\n ", rule, last, out),
        Piece::Choice(all) => group(all, " | ", rule, last, out),
        Piece::Repeat(part, least, most) => {
            group(std::slice::from_ref(part), "", rule, last, out);
            *out += &match (least, most) {
                (0, None) => "*".to_owned(),
                (1, None) => "+".to_owned(),
                (0, Some(1)) => "?".to_owned(),
                (least, None) => format!("{{{least},}}"),
                (least, Some(most)) if least == most => format!("{{{least}}}"),
                (least, Some(most)) => format!("{{{least},{most}}}"),
            };
        }
    }
}

fn group(parts: &[Piece], between: &str, rule: usize, last: usize, out: &mut String) {
    *out += "(";
    for (i, part) in parts.iter().enumerate() {
        *out += if i > 0 { between } else { "" };
        write(part, rule, last, out);
    }
    *out += ")";
}

/// Makes a text of a piece, or none if a class in its way has no characters; `luck` decides.
fn make(rules: &[Piece], rule: usize, piece: &Piece, luck: &mut impl FnMut(usize) -> usize) -> Option<String> {
    match piece {
        Piece::Text(text) => Some(text.clone()),
        Piece::Class(false, ranges) => {
            let (first, last) = ranges[luck(ranges.len())];
            Some(if luck(2) == 0 { first } else { last }.to_string())
        }
        Piece::Class(true, ranges) => {
            let outside = |c: &char| !ranges.iter().any(|(first, last)| first <= c && c <= last);
            let next = |c: char| char::from_u32(c as u32 + 1);
            let candidates = ranges.iter().filter_map(|(_, last)| next(*last)).chain(['a', '\0', '\u{10FFFF}']);
            let found: Vec<char> = candidates.filter(outside).collect();
            (!found.is_empty()).then(|| found[luck(found.len())].to_string())
        }
        Piece::Rule(step) => match rules.get(rule + step) {
            Some(next) => make(rules, rule + step, next, luck),
            None => Some(String::new()),
        },
        Piece::Sequence(all) => all.iter().map(|part| make(rules, rule, part, luck)).collect(),
        Piece::Choice(all) => make(rules, rule, &all[luck(all.len())], luck),
        Piece::Repeat(part, least, most) => {
            let spread = most.map_or(3, |most| most - least) as usize;
            let times = *least as usize + luck(spread + 1);
            (0..times).map(|_| make(rules, rule, part, luck)).collect()
        }
    }
}

proptest! {
    #[test]
    fn texts_made_by_a_grammar_are_its_own(
        rules in prop::collection::vec(piece(), 1..5),
        seeds in prop::collection::vec(any::<u64>(), 4),
        spoil in any::<prop::sample::Index>(),
    ) {
        let last = rules.len() - 1;
        let mut source = String::from("root ::= r-0\n");
        for (i, piece) in rules.iter().enumerate() {
            source += &format!("r-{i} ::= ");
            write(piece, i, last, &mut source);
            source += "\n";
        }
        let grammar = Grammar::parse(&source);
        prop_assert!(grammar.is_ok(), "{source}: {grammar:?}");
        // What grew too large on its way is refused, never a panic.
        let Ok(matcher) = grammar.and_then(|grammar| grammar.matcher()) else { return Ok(()) };
        for mut state in seeds {
            let mut luck = |of: usize| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) as usize % of
            };
            let Some(text) = make(&rules, 0, &rules[0], &mut luck) else { continue };
            prop_assert!(matcher.matches(&text), "{source}: {text:?}");
            matcher.matches(&text.chars().skip(spoil.index(9)).collect::<String>());
        }
    }

    #[test]
    fn any_text_is_a_grammar_or_an_error(source in "(root ::= )?([a-z\"|()\\[\\]{}?*+.,#\\\\ \n^-]|::=|[0-9]|\\PC){0,60}") {
        let _ = Grammar::parse(&source).and_then(|grammar| grammar.matcher()).map(|matcher| matcher.matches(&source));
    }
}
