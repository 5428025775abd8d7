//! The program as a library: what its command lines do, for the binary and for Python's package, and the simulator of schedules.
//!
//! Architecture invariant: the only place where everything meets. Nobody but a front end uses it.

mod cmd;
mod cores;
mod eval;
mod keys;
mod machine;
mod plans;
mod sessions;
pub mod simulate;
mod terminal;
mod trial;

use std::ffi::OsString;

/// Does what a command line says, the program's name before it; gives the exit status. A line that is none ends the process.
pub fn run_with(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    // What models leave behind when they go stays in every arena.
    kernels::limit_heap_arenas(std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2)));
    match cmd::run(arguments) {
        Ok(()) => 0,
        Err(e) if terminal::is_broken_pipe(&e) => 0,
        Err(e) => {
            eprintln!("error: {}", terminal::whole_message(&e));
            e.downcast_ref::<cmd::Exit>().map_or(1, |exit| exit.status)
        }
    }
}
