//! Any configuration file: taken, or refused with the line that is wrong.
//!
//! The room is included, and the model, which it knows: nothing else need be built. Input: the file.
#![no_main]

#[allow(dead_code, unused_imports, reason = "a part of it is fuzzed")]
#[path = "../../src/cli/mod.rs"]
mod cli;
#[allow(dead_code, unused_imports, reason = "a part of it is used")]
#[path = "../../src/model/mod.rs"]
mod model;

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

/// In memory, as it is written for each input.
static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let name = format!("udptrack-fuzz-{}.toml", std::process::id());
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() {
        memory.join(name)
    } else {
        std::env::temp_dir().join(name)
    }
});

/// The line that an error names.
fn line(message: &str) -> Option<usize> {
    let (_, rest) = message.split_once(&format!("{}:", FILE.display()))?;
    rest.split_once(": ")?.0.parse().ok()
}

fuzz_target!(|data: &[u8]| {
    std::fs::write(&*FILE, data).expect("a file in memory");
    let file = FILE.to_str().expect("ASCII");
    let result = cli::parse(["udptrack", "--config", file], false);
    let _ = std::fs::remove_file(&*FILE);
    let Err(error) = result else { return };
    let message = error.to_string();
    assert_eq!(error.exit_code(), 2, "{message}");
    let Ok(text) = std::str::from_utf8(data) else {
        assert!(
            message.contains(&format!("cannot read {file}")),
            "{message}"
        );
        return;
    };
    match line(&message) {
        Some(line) => {
            // At the end of the file the last line may be an empty one.
            let lines = text.matches('\n').count() + 1;
            assert!((1..=lines).contains(&line), "{message}");
        }
        // Flags that are right one by one, and do not go together.
        None => assert!(toml::de::DeTable::parse(text).is_ok(), "{message}"),
    }
});
