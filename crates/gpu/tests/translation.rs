//! Every kernel is sound WGSL, and becomes sound SPIR-V, MSL and HLSL.

use naga::back::{hlsl, msl, spv};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};

#[test]
fn every_kernel_is_translated_for_vulkan_metal_and_dx12() {
    let kernels = gpu::kernels();
    assert!(kernels.len() > 50, "all families");
    let folder = std::env::var_os("WHINCHAT_SPIRV").map(std::path::PathBuf::from);
    for (i, kernel) in kernels.iter().enumerate() {
        let (module, info) = parsed(&kernel.label(), &kernel.source());
        let words = spirv(&module, &info);
        assert_eq!(words[0], 0x0723_0203, "{}: SPIR-V begins with its magic number", kernel.label());
        if let Some(folder) = &folder {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            // Validators before 2024 do not know what matrix units are.
            let kind = if kernel.uses_units() { "units" } else { "kernel" };
            std::fs::write(folder.join(format!("{kind}-{i}.spv")), bytes).expect("the folder can be written");
        }
        let metal = metal(&module, &info);
        assert!(metal.contains("kernel void"), "{}: Metal has a kernel\n{metal}", kernel.label());
        if kernel.uses_units() {
            // DX12 reports none.
            assert!(metal.contains("simdgroup_multiply_accumulate"), "{}: Metal has matrix units", kernel.label());
            continue;
        }
        let hlsl = dx12(&module, &info);
        assert!(hlsl.contains("numthreads"), "{}: HLSL has a compute shader\n{hlsl}", kernel.label());
    }
}

fn parsed(label: &str, source: &str) -> (naga::Module, ModuleInfo) {
    let module =
        naga::front::wgsl::parse_str(source).unwrap_or_else(|why| panic!("{label}: {}", why.emit_to_string(source)));
    let units = Capabilities::SHADER_FLOAT16 | Capabilities::COOPERATIVE_MATRIX;
    let info = Validator::new(ValidationFlags::all(), Capabilities::SHADER_FLOAT16_IN_FLOAT32 | units)
        .validate(&module)
        .unwrap_or_else(|why| panic!("{label}: {}", why.emit_to_string(source)));
    (module, info)
}

fn spirv(module: &naga::Module, info: &ModuleInfo) -> Vec<u32> {
    let options = spv::Options { lang_version: (1, 3), ..spv::Options::default() };
    spv::write_vec(module, info, &options, None).expect("SPIR-V")
}

fn metal(module: &naga::Module, info: &ModuleInfo) -> String {
    let options = msl::Options { lang_version: (2, 4), fake_missing_bindings: true, ..msl::Options::default() };
    let (text, _) = msl::write_string(module, info, &options, &msl::PipelineOptions::default()).expect("MSL");
    text
}

fn dx12(module: &naga::Module, info: &ModuleInfo) -> String {
    let mut text = String::new();
    let options = hlsl::Options { shader_model: hlsl::ShaderModel::V6_0, ..hlsl::Options::default() };
    let pipeline = hlsl::PipelineOptions::default();
    hlsl::Writer::new(&mut text, &options, &pipeline).write(module, info, None).expect("HLSL");
    text
}
