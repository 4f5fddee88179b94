//! Compiles the kernel programs' parser for user space, under `AddressSanitizer`, `UndefinedBehaviorSanitizer` and with
//! libFuzzer's coverage.

fn main() {
    for watched in ["parser.c", "../bpf", "../vmlinux"] {
        println!("cargo:rerun-if-changed={watched}");
    }
    println!("cargo:rerun-if-env-changed=CLANG");
    let clang = std::env::var("CLANG").unwrap_or_else(|_| "clang".to_owned());
    cc::Build::new()
        .compiler(clang)
        .file("parser.c")
        .includes(["../vmlinux", "../bpf"])
        .flags([
            "-O1",
            "-g",
            "-fno-omit-frame-pointer",
            "-fsanitize=address,undefined,fuzzer-no-link",
            // Packet headers are read where they lie; the kernel's do the same.
            "-fno-sanitize=alignment",
            "-fno-sanitize-recover=undefined",
            "-Wno-unused-parameter",
        ])
        .warnings_into_errors(true)
        .compile("parser");
}
