//! `restore-batch`: restores photo archives through a GFPGAN API.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    restore_batch::cli::main()
}
