//! Every architecture gives the logits that transformers gives, on every instruction set that this machine has.

#[path = "../../model/tests/support/golden.rs"]
mod golden;

use kernels::{Cpu, CpuOptions, Isa};
use tensor::DType;

#[test]
fn logits_are_those_of_transformers() {
    for isa in Isa::available() {
        let cpu = Cpu::new(CpuOptions { threads: Some(2), isa: Some(isa), ..CpuOptions::default() });
        for name in golden::names() {
            let pairs = matches!(isa, Isa::Amx | Isa::Avx512Bf16);
            golden::check(&name, &cpu, |weight| weight.quantized() || pairs && weight.dtype == DType::BF16);
        }
    }
}
