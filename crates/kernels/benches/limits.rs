//! The machine's limits as a line of JSON: `cargo bench -p whinchat-kernels --bench limits -- [threads] [bytes to read]`.

mod machine;

use machine::Machine;

fn main() {
    let mut numbers = std::env::args().filter_map(|arg| arg.parse().ok());
    let threads = numbers.next().unwrap_or_else(machine::threads);
    let Machine { read_gb_s, int8_gop_s, f32_gflop_s } = Machine::measure(threads, numbers.next().unwrap_or(1 << 30));
    let line = serde_json::json!({
        "threads": threads, "read_gb_s": read_gb_s, "int8_gop_s": int8_gop_s, "f32_gflop_s": f32_gflop_s,
    });
    println!("{line}");
}
