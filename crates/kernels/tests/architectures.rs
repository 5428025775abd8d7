//! Every architecture gives the logits that transformers gives, and every weight type those of the same numbers in F32, on every
//! instruction set that this machine has.

#[path = "../../model/tests/support/golden.rs"]
mod golden;
#[path = "../../model/tests/support/mod.rs"]
mod support;
#[path = "support/tested.rs"]
mod tested;
#[path = "../../model/tests/support/weight_types.rs"]
mod weight_types;

use graph::WeightInfo;
use kernels::{Cpu, CpuOptions, Isa};
use tensor::DType;
use tested::is_tested;
use weight_types::{Recipe, check};

#[test]
fn logits_are_those_of_transformers() {
    for isa in Isa::available().filter(|isa| is_tested(isa)) {
        let cpu = Cpu::new(CpuOptions { threads: Some(2), isa: Some(isa), ..CpuOptions::default() });
        golden::names().iter().for_each(|name| golden::check(name, &cpu, |weight| rounds(isa, weight)));
    }
}

#[test]
fn files_of_every_weight_type_run() {
    for isa in Isa::available().filter(|isa| is_tested(isa)) {
        let cpu = Cpu::new(CpuOptions { threads: Some(2), isa: Some(isa), ..CpuOptions::default() });
        for dtype in DType::all() {
            check(Recipe { dtype, experts: 0, factors: false }, &cpu, |weight| rounds(isa, weight));
        }
        for (dtype, experts) in [(DType::NVFP4, 0), (DType::NVFP4, 3), (DType::IQ2_XS, 3)] {
            check(Recipe { dtype, experts, factors: true }, &cpu, |weight| rounds(isa, weight));
        }
    }
}

/// Whether rows are rounded that are multiplied with such a weight.
fn rounds(isa: Isa, weight: &WeightInfo) -> bool {
    weight.quantized() || matches!(isa, Isa::Amx | Isa::Avx512Bf16) && weight.dtype == DType::BF16
}
