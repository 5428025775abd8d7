//! What is applied to the hidden values of feed-forward parts.

use graph::Activation;

use crate::{ModelError, Value};

use super::config::{Config, Key};

const ACT: Key = Key("hidden_act", "");
const GEMMA_ACT: Key = Key("hidden_activation", "");
const ALPHA: Key = Key("swiglu_alpha", "");
const LIMIT: Key = Key("swiglu_limit", "");
/// xIELU's numbers that are learned, of each layer: keys of GGUF files, without the architecture's name before them, and tensors of others.
pub(super) const XIELU: [(&str, &str); 2] = [("xielu.alpha_p", "alpha_p"), ("xielu.alpha_n", "alpha_n")];
/// And its slope at 0, which is not.
pub(super) const XIELU_BETA: &str = "xielu.beta";
/// What others keep below 0 on the side below it; it changes nothing but the last digits.
pub(super) const XIELU_EPS: &str = "xielu.eps";
const XIELU_SLOPE: f32 = 0.5;

/// The activation of layer `i`.
///
/// # Errors
/// If the file names one that there is no operator for.
pub(super) fn read(config: &Config<'_>, i: usize) -> Result<Activation, ModelError> {
    let act = config.arch.act;
    if let Activation::ClampedSilu { alpha, limit } = act {
        let alpha = config.positive(ALPHA)?.map_or(alpha, |a| a as f32);
        let limit = config.positive(LIMIT)?.map_or(limit, |l| l as f32);
        return Ok(Activation::ClampedSilu { alpha, limit });
    }
    // Gemma's own field goes first: its hidden_act is older and wrong in some files.
    let gemma = act == Activation::GeluTanh && config.arch.embed_sqrt;
    let own: Option<&str> = if gemma { config.read(GEMMA_ACT)? } else { None };
    let key = if own.is_some() { GEMMA_ACT } else { ACT };
    let name = if gemma { own } else { config.read(ACT)? };
    match name {
        None | Some("xielu") if config.arch.name == "apertus" => xielu(config, i),
        None => Ok(act),
        Some("silu" | "swish" | "swiglu") => Ok(Activation::Silu),
        Some("gelu_pytorch_tanh" | "gelu_new" | "gelu_fast") => Ok(Activation::GeluTanh),
        Some("gelu") => Ok(Activation::GeluErf),
        Some("relu") => Ok(Activation::Relu),
        Some("relu2") => Ok(Activation::SquaredRelu),
        Some(other) => {
            let problem = format!("\"{other}\" is not supported; silu, gelu, gelu_pytorch_tanh, relu and relu2 are");
            Err(config.unsupported(key, problem))
        }
    }
}

fn xielu(config: &Config<'_>, i: usize) -> Result<Activation, ModelError> {
    let [above, below, linear] = xielu_numbers(config, i)?;
    let softplus = |x: f32| x.max(0.0) + (-x.abs()).exp().ln_1p();
    Ok(Activation::Xielu { square: softplus(above), exponential: linear + softplus(below), linear })
}

/// What is learned for both sides of 0, as files have it, and the slope at 0.
pub(super) fn xielu_numbers(config: &Config<'_>, i: usize) -> Result<[f32; 3], ModelError> {
    let mut numbers = [0.0, 0.0, XIELU_SLOPE];
    for (number, (key, tensor)) in numbers.iter_mut().zip(XIELU) {
        *number = if config.gguf() { of_layer(config, key, i)? } else { Some(scalar(config, tensor, i)?) }.ok_or_else(
            || config.checkpoint.metadata().invalid(key, "is missing; take a complete copy of the model"),
        )?;
    }
    numbers[2] = match config.gguf() {
        true => of_layer(config, XIELU_BETA, i)?.unwrap_or(XIELU_SLOPE),
        false => scalar(config, "beta", i).unwrap_or(XIELU_SLOPE),
    };
    match numbers.iter().all(|number| number.is_finite()) {
        true => Ok(numbers),
        false => {
            Err(config.checkpoint.metadata().invalid(XIELU[0].0, format!("{numbers:?} of layer {i} are not finite")))
        }
    }
}

/// One number for all layers, or one for each.
fn of_layer(config: &Config<'_>, key: &str, i: usize) -> Result<Option<f32>, ModelError> {
    match config.metadata.get(key) {
        Some(Value::List(_)) => Ok(config.metadata.require::<Vec<f32>>(key)?.get(i).copied()),
        _ => config.metadata.read(key),
    }
}

fn scalar(config: &Config<'_>, name: &str, i: usize) -> Result<f32, ModelError> {
    let name = config.names.module(i, &format!("mlp.act_fn.{name}"));
    let missing = || config.checkpoint.invalid(&name, "must be a number; take a complete copy of the model");
    let tensor = config.checkpoint.tensor(&name).ok_or_else(missing)?;
    let (&Ok(dtype), mut number) = (&tensor.dtype, [0.0]) else { return Err(missing()) };
    tensor::decode(dtype, config.checkpoint.bytes(tensor), &mut number).map_err(|_| missing())?;
    Ok(number[0])
}
