//! Which device computes which layers of a model.

use std::fmt;
use std::ops::Range;

use graph::{Graph, Limits, Stage, split};

use crate::device::{Device, GpuLayers, Unit};
use crate::{Error, gpu};

/// A device and the layers that it computes, counted from 0. The first has the embeddings too, the last the head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The device.
    pub unit: Unit,
    /// Its layers.
    pub layers: Range<usize>,
}

impl fmt::Display for Placed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Range { start, end } = self.layers;
        match end - start {
            1 => write!(f, "layer {start} on {}", self.unit),
            _ => write!(f, "layers {start} to {} on {}", end.saturating_sub(1), self.unit),
        }
    }
}

/// Where the layers of a model are computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placement {
    /// At least one, in the order in which they compute.
    pub(crate) stages: Vec<Placed>,
    /// The nodes of the graph as it is built at which all stages but the first begin.
    pub(crate) cuts: Vec<usize>,
}

impl Placement {
    /// Whether the CPU computes everything.
    pub(crate) fn is_cpu(&self) -> bool {
        matches!(&self.stages[..], [Placed { unit: Unit::Cpu, .. }])
    }

    /// Where what drafts for the model is: beside it, or on the CPU where it is divided, as it has taken the memory of GPUs.
    pub(crate) fn beside(&self) -> Device {
        match &self.stages[..] {
            [one] => Device::On(vec![one.unit]),
            _ => Device::default(),
        }
    }
}

/// Layers that cannot be on different devices, and what they take of a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Group {
    layers: usize,
    bytes: u64,
}

/// Says which layers of a graph, as it is built, each of the devices computes. Devices that have no room for any are left out.
///
/// # Errors
/// If one of them does not exist or does not compute the graph, or they have no room for it.
pub(crate) fn place(
    device: &Device,
    gpu_layers: Option<GpuLayers>,
    graph: &Graph,
    limits: &Limits,
) -> Result<Placement, Error> {
    let (units, wanted) = resolve(device, gpu_layers, graph)?;
    let starts = graph.layers();
    let cuts: Vec<usize> = starts.iter().skip(1).copied().filter(|&at| graph.can_split(at)).collect();
    if units.len() == 1 && units[0] == Unit::Cpu {
        return Ok(Placement { stages: vec![Placed { unit: Unit::Cpu, layers: 0..starts.len() }], cuts: vec![] });
    }
    let parts = split(graph, &cuts).map_err(|why| Error::Request(why.to_string()))?;
    let numbers: Vec<usize> =
        units.iter().filter_map(|unit| if let Unit::Gpu(n) = unit { Some(*n) } else { None }).collect();
    for &number in &numbers {
        parts.iter().try_for_each(|part| gpu::check(number, &part.graph))?;
    }
    let ends = cuts.iter().copied().chain([usize::MAX]);
    let layers = ends.scan(0, |from, end| {
        let count = starts[*from..].iter().take_while(|&&start| start < end).count();
        *from += count;
        Some(count)
    });
    let (groups, values) = costs(&parts, layers, limits, !numbers.is_empty());
    let rooms: Vec<Option<u64>> = units.iter().map(|&unit| room(unit, &numbers, values)).collect::<Result<_, _>>()?;
    let counts = share(&groups, &rooms, wanted)
        .map_err(|why| Error::Request(format!("{why}{}", short(&units, &groups, &rooms))))?;
    Ok(placement(&units, &counts, &groups, &cuts))
}

/// The devices that are meant, and how many layers are on GPUs; `None` if as many as there is room for.
fn resolve(device: &Device, gpu_layers: Option<GpuLayers>, graph: &Graph) -> Result<(Vec<Unit>, Option<usize>), Error> {
    let count = match gpu_layers {
        Some(GpuLayers::Count(layers)) => Some(layers),
        Some(GpuLayers::Auto) | None => None,
    };
    let units = match (device, gpu_layers) {
        (Device::Auto, _) => gpu::best(graph).map_or(vec![Unit::Cpu], |number| vec![Unit::Cpu, Unit::Gpu(number)]),
        // As many layers as are wanted, and the CPU the others.
        (Device::On(units), Some(_)) if matches!(units[..], [Unit::Gpu(_)]) => vec![Unit::Cpu, units[0]],
        (Device::On(units), _) => units.clone(),
    };
    if gpu_layers.is_some() && *device != Device::Auto && units.iter().all(|&unit| unit == Unit::Cpu) {
        let why = "--gpu-layers says how many layers a GPU computes; give one with it, such as --device cpu+gpu";
        return Err(Error::Request(why.into()));
    }
    Ok((units, count))
}

/// What groups of layers take of a GPU besides the values of a step, and what the largest of these take.
fn costs(parts: &[Stage], layers: impl Iterator<Item = usize>, limits: &Limits, gpus: bool) -> (Vec<Group>, u64) {
    let needs: Vec<[u64; 3]> =
        parts.iter().map(|part| if gpus { gpu::needs(&part.graph, limits) } else { [0; 3] }).collect();
    let group = |([weights, memories, _], layers): (&[u64; 3], usize)| Group {
        layers,
        bytes: weights.saturating_add(*memories),
    };
    (needs.iter().zip(layers).map(group).collect(), needs.iter().map(|needs| needs[2]).max().unwrap_or(0))
}

/// Bytes that a device has for groups of layers; `None` for the CPU, which takes what is left. What is there several times has as many
/// parts.
fn room(unit: Unit, numbers: &[usize], values: u64) -> Result<Option<u64>, Error> {
    let Unit::Gpu(number) = unit else { return Ok(None) };
    let times = numbers.iter().filter(|&&other| other == number).count().max(1) as u64;
    Ok(Some((gpu::room(number)? / times).saturating_sub(values)))
}

/// What there is, in words.
fn short(units: &[Unit], groups: &[Group], rooms: &[Option<u64>]) -> String {
    let all = groups.iter().map(|group| group.bytes).fold(0, u64::saturating_add);
    let left = units.iter().zip(rooms).filter_map(|(unit, room)| Some(format!("{unit} has {}", mebibytes((*room)?))));
    format!(
        ": the model takes {} with its KV cache, and beside the values of a step {}; a smaller --context, --max-sequences or --kv-type, a \
         model of smaller weights, or --device cpu+gpu with --gpu-layers auto fits",
        mebibytes(all),
        left.collect::<Vec<_>>().join(", ")
    )
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

/// All of a GPU's room; less of it is told in parts of this.
const FULL: u64 = 1 << 32;

/// How many groups each of the stages computes. GPUs are filled alike; what they leave is divided among the CPUs. As many layers are on
/// GPUs as are `wanted`, else as many as they have room for.
fn share(groups: &[Group], rooms: &[Option<u64>], wanted: Option<usize>) -> Result<Vec<usize>, String> {
    let all = groups.iter().map(|group| group.layers).sum::<usize>();
    let cpus = rooms.iter().filter(|room| room.is_none()).count();
    let most = if cpus == rooms.len() { 0 } else { groups.len() };
    let least = if cpus == 0 { most } else { 0 };
    let wanted = wanted.map(|wanted| wanted.min(all));
    let fits = |counts: &Vec<usize>| wanted.is_none_or(|wanted| on_gpus(groups, rooms, counts) == wanted);
    let found = (least..=most).rev().find_map(|on_gpus| evenly(groups, rooms, on_gpus).filter(fits));
    found.ok_or_else(|| match wanted {
        Some(wanted) if cpus > 0 => format!("--gpu-layers {wanted} cannot be had"),
        _ => "there is not enough memory on the GPUs".into(),
    })
}

/// The groups of each stage if so many are on GPUs, of whose rooms the least part is used that is enough; `None` if they do not fit.
fn evenly(groups: &[Group], rooms: &[Option<u64>], on_gpus: usize) -> Option<Vec<usize>> {
    let (mut too_little, mut enough) = (0, FULL);
    let mut counts = fill(groups, rooms, on_gpus, FULL)?;
    while enough - too_little > 1 {
        let between = too_little.midpoint(enough);
        match fill(groups, rooms, on_gpus, between) {
            Some(found) => (enough, counts) = (between, found),
            None => too_little = between,
        }
    }
    Some(counts)
}

/// The groups of each stage if so many are on GPUs, of whose rooms this part is used; `None` if they do not fit.
fn fill(groups: &[Group], rooms: &[Option<u64>], mut on_gpus: usize, part: u64) -> Option<Vec<usize>> {
    let mut cpus = rooms.iter().filter(|room| room.is_none()).count();
    let (mut on_cpus, mut at, mut counts) = (groups.len() - on_gpus, 0, vec![]);
    for room in rooms {
        let count = match room {
            None => {
                let count = on_cpus.div_ceil(cpus);
                (on_cpus, cpus) = (on_cpus - count, cpus - 1);
                count
            }
            Some(room) => {
                let most = (u128::from(*room) * u128::from(part) / u128::from(FULL)) as u64;
                let mut taken = 0u64;
                let fits = |group: &&Group| {
                    taken = taken.saturating_add(group.bytes);
                    taken <= most
                };
                let count = groups[at..].iter().take(on_gpus).take_while(fits).count();
                on_gpus -= count;
                count
            }
        };
        at += count;
        counts.push(count);
    }
    (at == groups.len()).then_some(counts)
}

/// Layers that GPUs compute.
fn on_gpus(groups: &[Group], rooms: &[Option<u64>], counts: &[usize]) -> usize {
    let (mut at, mut layers) = (0, 0);
    for (room, count) in rooms.iter().zip(counts) {
        let own = &groups[at..at + count];
        layers += if room.is_some() { own.iter().map(|group| group.layers).sum() } else { 0 };
        at += count;
    }
    layers
}

/// The stages that compute something.
fn placement(units: &[Unit], counts: &[usize], groups: &[Group], cuts: &[usize]) -> Placement {
    let (mut stages, mut at, mut layer, mut begins) = (vec![], 0, 0, vec![]);
    for (&unit, &count) in units.iter().zip(counts).filter(|(_, count)| **count > 0) {
        begins.extend((at > 0).then(|| cuts[at - 1]));
        let layers = groups[at..at + count].iter().map(|group| group.layers).sum::<usize>();
        stages.push(Placed { unit, layers: layer..layer + layers });
        (at, layer) = (at + count, layer + layers);
    }
    Placement { stages, cuts: begins }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Layers of these bytes, on stages with this room, of which so many are wanted on GPUs.
    fn check(bytes: &[u64], rooms: &[Option<u64>], wanted: Option<usize>, counts: Option<&[usize]>) {
        let groups: Vec<Group> = bytes.iter().map(|&bytes| Group { layers: 1, bytes }).collect();
        let given = share(&groups, rooms, wanted).ok();
        assert_eq!(given.as_deref(), counts, "{bytes:?} {rooms:?} {wanted:?}");
    }

    #[test]
    fn layers_go_where_there_is_room() {
        let (cpu, even) = (None, [10; 6]);
        check(&even, &[cpu, Some(35)], None, Some(&[3, 3]));
        check(&even, &[Some(35), cpu], None, Some(&[3, 3]));
        check(&even, &[cpu, Some(1000)], None, Some(&[0, 6]));
        check(&even, &[cpu, Some(9)], None, Some(&[6, 0]));
        check(&even, &[cpu, Some(1000)], Some(2), Some(&[4, 2]));
        check(&even, &[cpu, Some(1000)], Some(99), Some(&[0, 6]));
        check(&even, &[cpu, Some(1000)], Some(0), Some(&[6, 0]));
        check(&even, &[cpu, Some(35)], Some(4), None);
        // The last layer has the head, so fewer fit beside it.
        check(&[10, 10, 10, 10, 10, 30], &[cpu, Some(45)], None, Some(&[4, 2]));
        check(&[10, 10, 10, 10, 10, 50], &[cpu, Some(45)], None, Some(&[6, 0]));
        check(&even, &[cpu, cpu], None, Some(&[3, 3]));
        check(&even, &[cpu, cpu, cpu, cpu], None, Some(&[2, 2, 1, 1]));
        check(&[10], &[cpu, cpu], None, Some(&[1, 0]));
    }

    #[test]
    fn gpus_are_filled_alike() {
        let even = [10; 6];
        check(&even, &[Some(1000), Some(1000)], None, Some(&[3, 3]));
        check(&even, &[Some(2000), Some(1000)], None, Some(&[4, 2]));
        check(&even, &[Some(35), Some(35)], None, Some(&[3, 3]));
        check(&even, &[Some(35), Some(25)], None, None);
        check(&even, &[Some(35), None, Some(25)], None, Some(&[3, 1, 2]));
        check(&even, &[Some(0), Some(u64::MAX)], None, Some(&[0, 6]));
    }

    #[test]
    fn layers_that_share_memories_stay_together() {
        let groups = [Group { layers: 1, bytes: 10 }, Group { layers: 3, bytes: 30 }];
        assert_eq!(share(&groups, &[None, Some(100)], Some(3)), Ok(vec![1, 1]));
        assert_eq!(share(&groups, &[None, Some(100)], Some(2)), Err("--gpu-layers 2 cannot be had".into()));
        let placed = placement(&[Unit::Cpu, Unit::Gpu(0)], &[1, 1], &groups, &[7]);
        let texts: Vec<String> = placed.stages.iter().map(ToString::to_string).collect();
        assert_eq!((texts, placed.cuts), (vec!["layer 0 on cpu".into(), "layers 1 to 3 on gpu:0".into()], vec![7]));
        let whole = placement(&[Unit::Cpu, Unit::Gpu(0)], &[0, 2], &groups, &[7]);
        assert_eq!((whole.stages.len(), whole.cuts), (1, vec![]));
    }
}
