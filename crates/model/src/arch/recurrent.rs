//! The numbers of recurrent layers. Which layers are recurrent their tensors say, whatever lists of layers a file has.

use graph::HeadOrder;

use crate::ModelError;
use crate::spec::{DeltaSpec, RecurrentSpec};

use super::Recurrence;
use super::config::{Config, Key};

const KEY_HEADS: Key = Key("linear_num_key_heads", "ssm.group_count");
const VALUE_HEADS: Key = Key("linear_num_value_heads", "ssm.time_step_rank");
const KEY_DIM: Key = Key("linear_key_head_dim", "ssm.state_size");
const VALUE_DIM: Key = Key("linear_value_head_dim", "");
const VALUES: Key = Key("", "ssm.inner_size");
const TAPS: Key = Key("linear_conv_kernel_dim", "ssm.conv_kernel");

/// What layer `i` brings forward along a sequence.
pub(super) fn read(config: &Config<'_>, i: usize) -> Result<Option<RecurrentSpec>, ModelError> {
    match config.arch.extras.recurrent {
        Some(Recurrence::Delta(order)) if config.names.has(i, "ssm_conv1d.weight") => {
            delta(config, order).map(|delta| Some(RecurrentSpec::Delta(delta)))
        }
        _ => Ok(None),
    }
}

fn delta(config: &Config<'_>, order: HeadOrder) -> Result<DeltaSpec, ModelError> {
    let (heads, key_heads) = (config.require(VALUE_HEADS)?, config.require(KEY_HEADS)?);
    if !heads.is_multiple_of(key_heads) {
        let problem = format!("{heads} heads of values are not a multiple of {key_heads} heads of keys");
        return Err(config.invalid(VALUE_HEADS, problem));
    }
    let value_dim = if config.gguf() { config.require(VALUES)? / heads } else { config.require(VALUE_DIM)? };
    Ok(DeltaSpec {
        heads,
        key_heads,
        key_dim: config.require(KEY_DIM)?,
        value_dim,
        order: if config.gguf() { order } else { HeadOrder::Grouped },
        taps: config.require(TAPS)?,
    })
}
