//! One model on several devices: replicas behind its name.

use std::ffi::OsStr;

use anyhow::Context;
use config::Config;
use serve::{App, Labels, LoadOrder};
use whinchat::{Cpu, Device, LoadOptions, LoadedModel, Model, PlanOptions};

use super::loader::{load_adapters, options_of};

/// The devices that the configuration names, one for each replica: `gpu:0,gpu:1`.
pub(super) fn devices(config: &Config) -> Result<Vec<Device>, whinchat::UnknownDevice> {
    let given = config.model.device.as_deref().into_iter().flat_map(|text| text.split(','));
    let devices: Vec<Device> = given.map(str::parse).collect::<Result<_, _>>()?;
    Ok(if devices.is_empty() { vec![Device::default()] } else { devices })
}

/// Loads a model, which is on the first device already, on the others too. Replicas on the CPU share the threads of the first.
pub(super) fn add(
    app: &App,
    (name, source): (&str, &OsStr),
    devices: &[Device],
    (first, adapters, cpu): (&LoadOptions, &[(String, String)], &Cpu),
) -> anyhow::Result<()> {
    let Some((own, others)) = devices.split_first().filter(|(_, others)| !others.is_empty()) else { return Ok(()) };
    let order = LoadOrder { name: Some(name.to_owned()), ..LoadOrder::default() };
    let load = |device: &Device| -> anyhow::Result<(LoadedModel, String)> {
        let plan = PlanOptions { device: device.clone(), ..first.plan.clone() };
        let options = LoadOptions { plan, draft_model: first.draft_model.clone(), ..options_of(first, &order) };
        let prepared = whinchat::prepare(super::open(source)?, &super::with_draft(options)?)?;
        let labels = Labels { device: device.to_string(), ..Labels::model(name) };
        let model = Model::start_on(cpu.clone(), &prepared, app.observer_of(labels), &|_, _, _| {})?;
        load_adapters(&model, adapters)?;
        Ok((model.into_loaded(), device.to_string()))
    };
    let named = |device: &Device| load(device).with_context(|| format!("cannot load a replica on {device}"));
    let replicas = others.iter().map(named).collect::<anyhow::Result<_>>()?;
    app.replicate(name, &own.to_string(), replicas);
    others.iter().for_each(|device| tracing::info!("a replica of {name} is ready on {device}"));
    Ok(())
}
