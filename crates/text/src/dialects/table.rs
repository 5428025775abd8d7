//! The families: names, how a template of theirs is recognised, markers, and tags.

use std::sync::Arc;

use super::either::EitherCalls;
use super::frame::{Body, Frame, Tags, To};
use super::functionary::FunctionaryCall;
use super::gemma::GemmaCall;
use super::harmony::{Harmony, MARKERS};
use super::headed::{HeadedCalls, Heading};
use super::json_calls::JsonCalls;
use super::llama::LlamaCalls;
use super::parser::Machine;
use super::python::PythonCalls;
use super::tools::Tools;
use super::xml::{Elements, XmlCalls};

/// A row of the table.
pub(super) struct Family {
    /// What it is called; the first is its name.
    pub names: &'static [&'static str],
    /// Whether a chat template is of this family.
    pub recognise: fn(&str) -> bool,
    /// Special tokens that its parser reads.
    pub markers: &'static [&'static str],
    /// Its state machine: for the end of a prompt, and the tools offered.
    pub machine: fn(&str, Arc<Tools>) -> Box<dyn Machine>,
}

/// All families. A template is of the first that recognises it, so those with the rarest words come first; the last is
/// `plain`.
pub(super) const FAMILIES: &[Family] = &[
    Family {
        names: &["gpt-oss", "harmony"],
        recognise: |source| source.contains("<|channel|>") && source.contains("<|start|>"),
        markers: MARKERS,
        machine: |tail, _| Box::new(Harmony::new(tail)),
    },
    Family {
        names: &["functionary-v3.2", "functionary"],
        recognise: |source| source.contains(">>>all") || source.contains(">>>${recipient}"),
        markers: &[],
        machine: |tail, tools| framed(&FUNCTIONARY, tail, tools),
    },
    Family {
        names: &["gemma4"],
        recognise: |source| source.contains("<|tool_call>") && source.contains("<tool_call|>"),
        markers: &["<|tool_call>", "<tool_call|>", "<|\"|>", "<|channel>", "<channel|>"],
        machine: |tail, tools| framed(&GEMMA, tail, tools),
    },
    Family {
        names: &["lfm2"],
        recognise: |source| {
            source.contains("<|tool_call_start|>")
                || source.contains("<|tool_list_start|>")
                || source.contains("List of tools: [")
        },
        markers: &["<think>", "</think>", "<|tool_call_start|>", "<|tool_call_end|>"],
        machine: |tail, tools| framed(&LFM, tail, tools),
    },
    Family {
        names: &["kimi-k2"],
        recognise: |source| source.contains("<|tool_calls_section_begin|>"),
        markers: &[
            "<think>",
            "</think>",
            "<|tool_calls_section_begin|>",
            "<|tool_call_begin|>",
            "<|tool_call_argument_begin|>",
            "<|tool_call_end|>",
            "<|tool_calls_section_end|>",
        ],
        machine: |tail, tools| framed(&KIMI, tail, tools),
    },
    Family {
        names: &["deepseek", "deepseek-r1", "deepseek-v3.1"],
        recognise: |source| source.contains("<｜tool▁calls▁begin｜>") || source.contains("<｜Assistant｜>"),
        markers: &[
            "<think>",
            "</think>",
            "<｜tool▁calls▁begin｜>",
            "<｜tool▁call▁begin｜>",
            "<｜tool▁sep｜>",
            "<｜tool▁call▁end｜>",
            "<｜tool▁calls▁end｜>",
        ],
        machine: |tail, tools| framed(&DEEPSEEK, tail, tools),
    },
    Family {
        names: &["command-r7b", "command"],
        recognise: |source| source.contains("<|START_ACTION|>"),
        markers: &[
            "<|START_THINKING|>",
            "<|END_THINKING|>",
            "<|START_ACTION|>",
            "<|END_ACTION|>",
            "<|START_RESPONSE|>",
            "<|END_RESPONSE|>",
        ],
        machine: |tail, tools| framed(&COMMAND, tail, tools),
    },
    Family {
        names: &["mistral", "devstral", "magistral"],
        recognise: |source| source.contains("[TOOL_CALLS]") || source.contains("[THINK]"),
        markers: &["[TOOL_CALLS]", "[CALL_ID]", "[ARGS]", "[THINK]", "[/THINK]"],
        machine: |tail, tools| framed(&MISTRAL, tail, tools),
    },
    Family {
        names: &["glm", "glm-4"],
        recognise: |source| source.contains("<arg_key>"),
        markers: &[
            "<think>",
            "</think>",
            "<tool_call>",
            "</tool_call>",
            "<arg_key>",
            "</arg_key>",
            "<arg_value>",
            "</arg_value>",
        ],
        machine: |tail, tools| framed(&GLM, tail, tools),
    },
    Family {
        names: &["seed-oss"],
        recognise: |source| source.contains("<seed:tool_call>"),
        markers: &["<seed:think>", "</seed:think>", "<seed:tool_call>", "</seed:tool_call>"],
        machine: |tail, tools| framed(&SEED, tail, tools),
    },
    Family {
        names: &["minimax-m2"],
        recognise: |source| source.contains("<minimax:tool_call>"),
        markers: &["<think>", "</think>", "<minimax:tool_call>", "</minimax:tool_call>"],
        machine: |tail, tools| framed(&MINIMAX, tail, tools),
    },
    Family {
        names: &["qwen3-coder", "qwen3.5", "nemotron-3"],
        recognise: |source| source.contains("<function=") && source.contains("<parameter="),
        markers: &["<think>", "</think>", "<tool_call>", "</tool_call>"],
        machine: |tail, tools| framed(&QWEN_CODER, tail, tools),
    },
    Family {
        names: &["granite"],
        recognise: |source| source.contains("<|start_of_role|>") && !source.contains("<tool_call>"),
        markers: &["<think>", "</think>", "<|tool_call|>", "<tool_call>", "</tool_call>", "<response>", "</response>"],
        machine: |tail, tools| framed(&GRANITE, tail, tools),
    },
    Family {
        names: &["llama3", "llama", "llama4"],
        recognise: |source| ["<|python_tag|>", "<|eot_id|>", "<|eot|>"].iter().any(|tag| source.contains(tag)),
        markers: &["<|python_tag|>"],
        machine: |tail, tools| framed(&LLAMA, tail, tools),
    },
    Family {
        names: &["hermes", "qwen", "qwen3", "whinchat"],
        recognise: |source| source.contains("<tool_call>") || source.contains("<think>"),
        markers: &["<think>", "</think>", "<tool_call>", "</tool_call>"],
        machine: |tail, tools| framed(&HERMES, tail, tools),
    },
    Family {
        names: &["phi"],
        recognise: |source| source.contains("<|end|>") && source.contains("<|assistant|>"),
        markers: &["<think>", "</think>", "<|tool_call|>", "<|/tool_call|>"],
        machine: |tail, tools| framed(&PHI, tail, tools),
    },
    Family { names: &["plain"], recognise: |_| true, markers: &[], machine: |tail, tools| framed(&PLAIN, tail, tools) },
];

fn framed(tags: &'static Tags, tail: &str, tools: Arc<Tools>) -> Box<dyn Machine> {
    Box::new(Frame::new(tags, tail, tools))
}

const THINK: (&str, To) = ("<think>", To::FirstReasoning);
const THOUGHT: (&str, To) = ("</think>", To::Text);

const PLAIN: Tags = Tags { text: &[], reasoning: &[], quoted: false };

const HERMES: Tags =
    Tags { text: &[THINK, ("<tool_call>", To::Call(|_| json("</tool_call>")))], reasoning: &[THOUGHT], quoted: true };

const PHI: Tags = Tags {
    text: &[THINK, ("<|tool_call|>", To::Call(|_| json("<|/tool_call|>"))), ("functools", To::Call(|_| json("")))],
    reasoning: &[THOUGHT],
    quoted: true,
};

const GRANITE: Tags = Tags {
    text: &[
        THINK,
        ("<|tool_call|>", To::Call(|_| json(""))),
        ("<tool_call>", To::Call(|_| json("</tool_call>"))),
        ("<response>", To::Text),
        ("</response>", To::Text),
    ],
    reasoning: &[THOUGHT],
    quoted: true,
};

const COMMAND_CALL: (&str, To) = ("<|START_ACTION|>", To::Call(|_| json("<|END_ACTION|>")));
const COMMAND: Tags = Tags {
    text: &[
        ("<|START_THINKING|>", To::Reasoning),
        COMMAND_CALL,
        ("<|START_RESPONSE|>", To::Text),
        ("<|END_RESPONSE|>", To::Text),
    ],
    reasoning: &[("<|END_THINKING|>", To::Text), COMMAND_CALL, ("<|START_RESPONSE|>", To::Text)],
    quoted: false,
};

const MISTRAL_CALL: (&str, To) =
    ("[TOOL_CALLS]", To::Call(|tools| either("", |_| Box::new(HeadedCalls::new(&MISTRAL_HEADING)), tools)));
const MISTRAL: Tags = Tags {
    text: &[("[THINK]", To::Reasoning), MISTRAL_CALL],
    reasoning: &[("[/THINK]", To::Text), MISTRAL_CALL],
    quoted: false,
};

const FUNCTIONARY: Tags =
    Tags { text: &[(">>>", To::Call(|_| Box::new(FunctionaryCall::Name)))], reasoning: &[], quoted: false };

const GEMMA_CALL: (&str, To) = ("<|tool_call>", To::Call(|_| Box::new(GemmaCall::default())));
const GEMMA: Tags = Tags {
    text: &[("<|channel>thought", To::Reasoning), GEMMA_CALL],
    reasoning: &[("<channel|>", To::Text), GEMMA_CALL],
    quoted: false,
};

const LFM: Tags = Tags {
    text: &[THINK, ("<|tool_call_start|>", To::Call(|_| Box::new(PythonCalls::new("<|tool_call_end|>"))))],
    reasoning: &[THOUGHT],
    quoted: false,
};

const MISTRAL_HEADING: Heading = Heading {
    open: "",
    // `name[ARGS]`, `name[CALL_ID]id[ARGS]`, or the name alone.
    name: |header| header.split('[').next().map(str::trim),
    end: "",
    close: "",
};

/// Llama writes JSON with a marker or none, the function's name in a tag where its makers' documents say so, and lists of
/// calls in Python where they are small or new.
const LLAMA: Tags = Tags {
    text: &[
        ("<|python_tag|>", To::Call(|_| Box::new(LlamaCalls::Begin))),
        ("<function=", To::Call(|_| Box::new(HeadedCalls::new(&LLAMA_HEADING)))),
        ("{", To::FirstCall(|tools| Box::new(JsonCalls::only(tools)))),
        ("[", To::FirstCall(|tools| Box::new(PythonCalls::only(tools)))),
    ],
    reasoning: &[],
    quoted: true,
};
const LLAMA_HEADING: Heading =
    Heading { open: "", name: |header| header.trim().strip_suffix('>'), end: "</function>", close: "" };

const DEEPSEEK_CALL: (&str, To) =
    ("<｜tool▁calls▁begin｜>", To::Call(|_| Box::new(HeadedCalls::new(&DEEPSEEK_HEADING))));
const DEEPSEEK: Tags = Tags { text: &[THINK, DEEPSEEK_CALL], reasoning: &[THOUGHT, DEEPSEEK_CALL], quoted: false };
const DEEPSEEK_HEADING: Heading = Heading {
    open: "<｜tool▁call▁begin｜>",
    // V3.1 writes the name and the separator; R1 writes `function`, the separator, the name, and begins a block of code.
    name: |header| {
        let (first, rest) = header.split_once("<｜tool▁sep｜>")?;
        let rest = rest.trim();
        if rest.is_empty() { Some(first.trim()) } else { rest.lines().next().map(str::trim) }
    },
    end: "<｜tool▁call▁end｜>",
    close: "<｜tool▁calls▁end｜>",
};

const KIMI_CALL: (&str, To) = ("<|tool_calls_section_begin|>", To::Call(|_| Box::new(HeadedCalls::new(&KIMI_HEADING))));
const KIMI: Tags = Tags { text: &[THINK, KIMI_CALL], reasoning: &[THOUGHT, KIMI_CALL], quoted: false };
const KIMI_HEADING: Heading = Heading {
    open: "<|tool_call_begin|>",
    // `functions.NAME:NUMBER`
    name: |header| {
        let id = header.trim().strip_suffix("<|tool_call_argument_begin|>")?.trim();
        let name = id.rsplit_once(':').filter(|(_, number)| number.parse::<u32>().is_ok()).map_or(id, |(name, _)| name);
        Some(name.strip_prefix("functions.").unwrap_or(name))
    },
    end: "<|tool_call_end|>",
    close: "<|tool_calls_section_end|>",
};

const QWEN_CODER: Tags = Tags {
    text: &[
        THINK,
        (
            "<tool_call>",
            To::Call(|tools| either("</tool_call>", |tools| Box::new(XmlCalls::new(&QWEN_ELEMENTS, tools)), tools)),
        ),
        // The tag around functions is sometimes forgotten.
        ("<function=", To::Call(|tools| Box::new(XmlCalls::named(&QWEN_ELEMENTS, tools)))),
    ],
    reasoning: &[THOUGHT],
    quoted: true,
};
const QWEN_ELEMENTS: Elements = Elements {
    name: ("<function=", ">"),
    key: ("<parameter=", ">"),
    value: ("", "</parameter>"),
    end: "</function>",
    close: "</tool_call>",
    lines: true,
};

const SEED: Tags = Tags {
    text: &[
        ("<seed:think>", To::FirstReasoning),
        ("<seed:tool_call>", To::Call(|tools| Box::new(XmlCalls::new(&SEED_ELEMENTS, tools)))),
    ],
    reasoning: &[("</seed:think>", To::Text)],
    quoted: true,
};
const SEED_ELEMENTS: Elements = Elements { close: "</seed:tool_call>", lines: false, ..QWEN_ELEMENTS };

const MINIMAX: Tags = Tags {
    text: &[THINK, ("<minimax:tool_call>", To::Call(|tools| Box::new(XmlCalls::new(&MINIMAX_ELEMENTS, tools))))],
    reasoning: &[THOUGHT],
    quoted: true,
};
const MINIMAX_ELEMENTS: Elements = Elements {
    name: ("<invoke name=\"", "\">"),
    key: ("<parameter name=\"", "\">"),
    value: ("", "</parameter>"),
    end: "</invoke>",
    close: "</minimax:tool_call>",
    lines: false,
};

const GLM: Tags = Tags {
    text: &[
        THINK,
        (
            "<tool_call>",
            To::Call(|tools| either("</tool_call>", |tools| Box::new(XmlCalls::new(&GLM_ELEMENTS, tools)), tools)),
        ),
    ],
    reasoning: &[THOUGHT],
    quoted: true,
};
const GLM_ELEMENTS: Elements = Elements {
    name: ("", ""),
    key: ("<arg_key>", "</arg_key>"),
    value: ("<arg_value>", "</arg_value>"),
    end: "</tool_call>",
    close: "",
    lines: false,
};

fn json(close: &'static str) -> Box<dyn Body> {
    Box::new(JsonCalls::new(close))
}

/// Calls as JSON up to `close`, or in a form of the family's own.
fn either(close: &'static str, other: fn(&Arc<Tools>) -> Box<dyn Body>, tools: &Arc<Tools>) -> Box<dyn Body> {
    Box::new(EitherCalls::new(close, other, tools))
}
