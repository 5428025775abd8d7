//! `whinchat inspect`: what is in a model.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Write};

use clap::Args;
use graph::{Device, Graph, Traffic, WeightInfo};
use kernels::Cpu;
use model::{Checkpoint, Fidelity, List, Metadata, Value};
use whinchat::{KvType, LoadOptions, Prepared};

use super::ModelArg;
use crate::terminal::one_line;

/// Show what is in a model: metadata, tensors, memory by part, the graph
///
/// Without a choice all of them.
#[derive(Args)]
#[command(after_help = "Examples:
  whinchat inspect model.gguf
  whinchat inspect org/name --metadata")]
pub(crate) struct Inspect {
    #[command(flatten)]
    model: ModelArg,
    /// The model, as --model takes it.
    #[arg(value_name = "MODEL")]
    named: Option<OsString>,
    /// Only the metadata.
    #[arg(long)]
    metadata: bool,
    /// Only the tensors.
    #[arg(long)]
    tensors: bool,
    /// Only the memory by part.
    #[arg(long)]
    memory: bool,
    /// Only the graph, every layer written out, before and after fusion.
    #[arg(long)]
    graph: bool,
}

impl Inspect {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let model = if self.named.is_some() { ModelArg { model: self.named } } else { self.model };
        let checkpoint = model.open()?;
        let all = !(self.metadata || self.tensors || self.memory || self.graph);
        let mut out = io::BufWriter::new(io::stdout().lock());
        if all {
            files(&mut out, &checkpoint)?;
        }
        if all || self.metadata {
            metadata(&mut out, checkpoint.metadata())?;
        }
        if all || self.tensors {
            repacked(&mut out, &checkpoint)?;
            tensors(&mut out, &checkpoint)?;
        }
        if all || self.memory || self.graph {
            match whinchat::prepare(checkpoint, &LoadOptions::default()) {
                Ok(prepared) => {
                    if all || self.memory {
                        memory(&mut out, &prepared)?;
                    }
                    if all || self.graph {
                        graphs(&mut out, prepared.model.graph(), self.graph)?;
                    }
                }
                Err(e) if all => writeln!(out, "\nno graph: {e}")?,
                Err(e) => return Err(e.into()),
            }
        }
        Ok(out.flush()?)
    }
}

fn files(out: &mut impl Write, checkpoint: &Checkpoint) -> io::Result<()> {
    writeln!(out, "{}", checkpoint.name())?;
    for file in checkpoint.files() {
        match std::fs::metadata(&file) {
            Ok(found) => writeln!(out, "  {} ({})", file.display(), size_text(found.len()))?,
            Err(_) => writeln!(out, "  in this program")?,
        }
    }
    Ok(())
}

fn metadata(out: &mut impl Write, metadata: &Metadata) -> io::Result<()> {
    writeln!(out, "\nmetadata")?;
    metadata.iter().try_for_each(|(key, value)| writeln!(out, "  {} = {}", one_line(key), value_text(value)))
}

/// What weights that others have quantized are multiplied as.
fn repacked(out: &mut impl Write, checkpoint: &Checkpoint) -> io::Result<()> {
    for (i, (kind, count)) in checkpoint.repacked().iter().enumerate() {
        if i == 0 {
            writeln!(out, "\nquantized weights")?;
        }
        let fidelity = match kind.fidelity {
            Fidelity::Exact => "exactly",
            Fidelity::Scales => "scales rounded to half precision",
            Fidelity::Widened => "widened",
        };
        writeln!(out, "  {count:>5} of {}: read as {}, {fidelity}", one_line(&kind.stored), kind.dtype)?;
    }
    Ok(())
}

/// A value on one line: long texts and lists are cut.
fn value_text(value: &Value) -> String {
    match value {
        Value::Bool(b) => b.to_string(),
        Value::Int(i) => i.to_string(),
        Value::Float(x) => x.to_string(),
        Value::Str(s) => cut(&format!("{s:?}"), 100),
        Value::List(list) => list_text(list),
        Value::Map(map) => {
            let entries: Vec<String> = map.iter().map(|(k, v)| format!("{k}: {}", value_text(v))).collect();
            cut(&format!("{{ {} }}", entries.join(", ")), 200)
        }
    }
}

fn list_text(list: &List) -> String {
    const SHOWN: usize = 8;
    let first: Vec<String> = match list {
        List::Int(v) => v.iter().take(SHOWN).map(ToString::to_string).collect(),
        List::Float(v) => v.iter().take(SHOWN).map(ToString::to_string).collect(),
        List::Bytes(v) => v.iter().take(SHOWN).map(|b| format!("{:?}", String::from_utf8_lossy(b))).collect(),
        List::Mixed(v) => v.iter().take(SHOWN).map(value_text).collect(),
    };
    let more = if list.len() > SHOWN { format!(", … {} in all", list.len()) } else { String::new() };
    format!("[{}{more}]", first.join(", "))
}

fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn tensors(out: &mut impl Write, checkpoint: &Checkpoint) -> io::Result<()> {
    writeln!(out, "\ntensors")?;
    for tensor in checkpoint.tensors() {
        let dtype = tensor.dtype.as_ref().map_or_else(|unknown| format!("{}?", one_line(unknown)), ToString::to_string);
        let size = size_text(tensor.bytes as u64);
        writeln!(out, "  {:<48} {dtype:<7} {:<20} {size:>10}", one_line(&tensor.name), format!("{:?}", tensor.dims))?;
    }
    Ok(())
}

/// Bytes of the weights by the part of the model they belong to, what a position costs in the KV cache, and what all of it
/// may take.
fn memory(out: &mut impl Write, prepared: &Prepared) -> io::Result<()> {
    let graph = prepared.model.graph();
    let mut parts: BTreeMap<String, (usize, u64)> = BTreeMap::new();
    for weight in graph.weights() {
        let part = parts.entry(part_of(&weight.name)).or_default();
        part.0 += 1;
        part.1 += weight.bytes().unwrap_or_default() as u64;
    }
    writeln!(out, "\nmemory")?;
    for (name, (count, bytes)) in &parts {
        writeln!(out, "  {name:<24} {count:>5} weights {:>12}", size_text(*bytes))?;
    }
    let total = parts.values().map(|(_, bytes)| bytes).sum();
    writeln!(out, "  {:<24} {:>5} weights {:>12}", "all", graph.weights().len(), size_text(total))?;
    unused(out, prepared)?;
    for (name, count, bytes) in whinchat::gpu_conversions(graph) {
        writeln!(out, "  {:<24} {count:>5} weights {:>12}", format!("{name}, as F16 on a GPU"), size_text(bytes))?;
    }
    KvType::all().try_for_each(|kv_type| {
        let what = format!("KV cache, a position, {}", kv_type.name());
        writeln!(out, "  {what:<38} {:>12}", size_text(whinchat::kv_bytes_per_token(graph, kv_type)))
    })?;
    if graph.state_len() > 0 {
        writeln!(out, "  {:<38} {:>12}", "recurrent state, a sequence", size_text(4 * graph.state_len() as u64))?;
    }
    let tokens = prepared.limits.kv_blocks * prepared.limits.block_len;
    let what = format!("KV cache of serve, at most, {}", KvType::default().name());
    writeln!(out, "  {what:<38} {:>12}  {tokens} tokens", size_text(prepared.memory.kv_pool))?;
    if let Some((path, bytes)) = prepared.packed_weights() {
        writeln!(out, "  {:<38} {:>12}  {}", "packed weights, kept", size_text(bytes), path.display())?;
    }
    let Some(available) = prepared.memory.available else { return Ok(()) };
    writeln!(out, "  {:<38} {:>12}", "left of the memory now", size_text(available))
}

/// What running leaves out of the files, such as towers for images; and layers that predict ahead, which may draft.
fn unused(out: &mut impl Write, prepared: &Prepared) -> io::Result<()> {
    let mut parts: BTreeMap<String, (usize, u64)> = BTreeMap::new();
    for tensor in prepared.model.unused() {
        let name = one_line(&tensor.name);
        let first = name.strip_prefix("model.").unwrap_or(&name).split('.').next().unwrap_or_default().to_owned();
        let part = parts.entry(first).or_default();
        *part = (part.0 + 1, part.1 + tensor.bytes as u64);
    }
    parts.iter().try_for_each(|(name, (count, bytes))| {
        writeln!(out, "  {:<24} {count:>5} tensors {:>12}", format!("not used: {name}"), size_text(*bytes))
    })?;
    let Ok(Some(ahead)) = prepared.checkpoint.bind_mtp(None) else { return Ok(()) };
    let own = ahead.graph().weights().iter().filter(|weight| weight.name.starts_with("blk."));
    let bytes = own.filter_map(WeightInfo::bytes).map(|bytes| bytes as u64).sum();
    writeln!(out, "  {:<38} {:>12}", "of these, drafts by --draft-model mtp", size_text(bytes))
}

/// `blk.3.attn_q.weight` → `blk.*.attn_q`.
fn part_of(name: &str) -> String {
    let name = name.strip_suffix(".weight").or(name.strip_suffix(".bias")).unwrap_or(name);
    let parts: Vec<&str> = name.split('.').collect();
    match parts.as_slice() {
        ["blk", _, rest @ ..] => format!("blk.*.{}", rest.join(".")),
        _ => name.to_owned(),
    }
}

/// The graph as the model's table builds it and as it is fused, and what the rules of fusion did.
fn graphs(out: &mut impl Write, built: &Graph, whole: bool) -> anyhow::Result<()> {
    let Device { rules, layout, .. } = Cpu::DEVICE;
    let fused = graph::fuse(built, rules, &[])?;
    graph(out, "graph", built, whole)?;
    graph(out, "graph, fused", &fused.graph, whole)?;
    writeln!(out, "\nrules of fusion")?;
    for (rule, (_, times)) in rules.iter().zip(&fused.fired) {
        writeln!(out, "  {:<14} {times:>5} times: {}", rule.name, rule.about)?;
    }
    let (before, after) = (Traffic::new(built, &layout), Traffic::new(&fused.graph, &layout));
    writeln!(out, "\nmoved by a token that is decoded{:>20} {:>12}", "built", "fused")?;
    let figures: [(&str, fn(&Traffic) -> usize); 4] = [
        ("values read", |traffic| traffic.read),
        ("values written", |traffic| traffic.written),
        ("weights read", |traffic| traffic.weights),
        ("room for values", |traffic| traffic.arena),
    ];
    for (what, figure) in figures {
        let [before, after] = [&before, &after].map(|traffic| size_text(figure(traffic) as u64));
        writeln!(out, "  {what:<38} {before:>12} {after:>12}")?;
    }
    Ok(writeln!(out, "  {:<38} {:>12} {:>12}", "operators", before.nodes, after.nodes)?)
}

/// One graph; unless `whole`, the layers after the first are left out.
fn graph(out: &mut impl Write, title: &str, graph: &Graph, whole: bool) -> io::Result<()> {
    writeln!(out, "\n{title}")?;
    let lines: Vec<String> = graph.nodes().iter().map(|node| graph.line(node).to_string()).collect();
    let layer = |line: &String| {
        let number = line.split_once("blk.").or(line.split_once("layer "))?.1;
        number.split(|c: char| !c.is_ascii_digit()).next()?.parse::<usize>().ok()
    };
    let second = lines.iter().position(|line| layer(line) == Some(1));
    let last = lines.iter().rposition(|line| layer(line).is_some());
    let hidden = match (second, last) {
        (Some(second), Some(last)) if !whole => second..last + 1,
        _ => 0..0,
    };
    for (i, line) in lines.iter().enumerate() {
        if i == hidden.start && !hidden.is_empty() {
            writeln!(
                out,
                "  … {} more nodes of {} layers (--graph shows them)",
                hidden.len(),
                graph.memory().len() - 1
            )?;
        }
        if !hidden.contains(&i) {
            writeln!(out, "  {line}")?;
        }
    }
    Ok(())
}

fn size_text(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}
