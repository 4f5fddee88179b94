//! Rules of the house that a machine can keep: which room knows which, how long pages and lines are, and words that nobody reads twice.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn read(path: impl AsRef<Path>) -> String {
    let path = Path::new(ROOT).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn files(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap_or_else(|error| panic!("{}: {error}", folder.display())));
    for path in entries.map(|entry| entry.path()) {
        if path.is_dir() {
            files(&path, ending, found);
        } else if path
            .extension()
            .is_some_and(|extension| extension == ending)
        {
            found.push(path);
        }
    }
}

/// All pages that are written by hand, by their path from the root.
fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    files(&Path::new(ROOT).join("docs"), "md", &mut pages);
    for page in [
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
    ] {
        pages.push(Path::new(ROOT).join(page));
    }
    pages
}

fn in_backticks(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// A room by the path that ARCHITECTURE.md has for it: `src/view/`, `src/clock.rs`.
fn room(path: &str) -> Option<&str> {
    let path = path.strip_prefix("src/")?;
    path.strip_suffix('/').or_else(|| path.strip_suffix(".rs"))
}

/// Text without what stands in brackets.
fn without_brackets(text: &str) -> String {
    let mut depth = 0_usize;
    let kept = text.chars().filter(|letter| {
        depth += usize::from(*letter == '(');
        let is_kept = depth == 0;
        depth -= usize::from(*letter == ')' && depth > 0);
        is_kept
    });
    kept.collect()
}

/// Which rooms a room may know, from the table of ARCHITECTURE.md. `None`: all of them.
fn allowed() -> BTreeMap<String, Option<BTreeSet<String>>> {
    let mut allowed = BTreeMap::new();
    for row in read("ARCHITECTURE.md").lines() {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        let [names, _, knows] = cells[..] else {
            continue;
        };
        let knows = (knows.trim() != "all rooms").then(|| {
            let knows = without_brackets(knows);
            in_backticks(&knows).map(str::to_owned).collect()
        });
        for name in in_backticks(names).filter_map(room) {
            allowed.insert(name.to_owned(), knows.clone());
        }
    }
    allowed
}

/// The first words of all paths that begin at the crate.
fn known(text: &str) -> BTreeSet<String> {
    let word = |text: &str| -> String {
        text.chars()
            .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
            .collect()
    };
    text.split("crate::")
        .skip(1)
        .flat_map(|after| match after.strip_prefix('{') {
            Some(list) => {
                let list = list.split('}').next().unwrap_or_default();
                list.split(',').map(|one| word(one.trim())).collect()
            }
            None => vec![word(after)],
        })
        .filter(|name| name.starts_with(|letter: char| letter.is_ascii_lowercase()))
        .collect()
}

#[test]
fn a_room_knows_only_the_rooms_that_the_architecture_says() {
    let allowed = allowed();
    let source = Path::new(ROOT).join("src");
    let mut sources = Vec::new();
    files(&source, "rs", &mut sources);
    let mut wrong = Vec::new();
    let mut is_used = BTreeSet::new();
    for path in sources {
        let inside = path.strip_prefix(&source).unwrap();
        let name = inside.iter().next().unwrap().to_str().unwrap();
        let name = name.strip_suffix(".rs").unwrap_or(name);
        if name == "lib" || name == "main" {
            continue;
        }
        let Some(rooms) = allowed.get(name) else {
            wrong.push(format!("{name} has no row in ARCHITECTURE.md"));
            continue;
        };
        let Some(rooms) = rooms else { continue };
        for other in known(&fs::read_to_string(&path).unwrap()) {
            is_used.insert((name.to_owned(), other.clone()));
            if other != name && !rooms.contains(&other) {
                wrong.push(format!("{} knows {other}", inside.display()));
            }
        }
    }
    for (name, rooms) in &allowed {
        for other in rooms.iter().flatten() {
            if !is_used.contains(&(name.clone(), other.clone())) {
                wrong.push(format!("{name} may know {other}, and does not"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_readme_is_short_and_lines_of_pages_are_not_long() {
    assert!(read("README.md").lines().count() <= 150);
    let mut wrong = Vec::new();
    for page in pages() {
        for (line, text) in (1..).zip(read(&page).lines()) {
            let is_free = text.starts_with('|') || text.starts_with("    ");
            if !is_free && text.chars().count() > 120 {
                wrong.push(format!("{}:{line}", page.display()));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "lines of more than 120 characters: {wrong:#?}"
    );
}

/// What GitHub makes of a heading.
fn anchor(heading: &str) -> String {
    let letters = heading.trim().to_lowercase();
    let letters = letters.chars().filter_map(|letter| match letter {
        ' ' => Some('-'),
        '-' | '_' => Some(letter),
        letter => letter.is_alphanumeric().then_some(letter),
    });
    letters.collect()
}

#[test]
fn links_lead_somewhere() {
    let mut wrong = Vec::new();
    for page in pages() {
        let text = read(&page);
        for link in text.split("](").skip(1) {
            let link = link.split(')').next().unwrap();
            if link.starts_with("https://") {
                continue;
            }
            let (path, part) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() {
                page.clone()
            } else {
                page.parent().unwrap().join(path)
            };
            let is_there = target.exists()
                && (part.is_empty()
                    || read(&target)
                        .lines()
                        .filter(|line| line.starts_with('#'))
                        .any(|line| anchor(line.trim_start_matches('#')) == part));
            if !is_there {
                wrong.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Words of riddles, each with plain ones beside it.
const RIDDLES: [&str; 8] = [
    "whoever",       // the owner, the reader, everybody who
    "so many",       // this number of
    "so much",       // this amount of, how much
    "so long",       // this time, how long
    "is said",       // a message tells
    "are said",      // messages tell
    "start it anew", // restart it
    "taken up",      // resumed
];

/// In pages, help, messages and comments, but not in `tests/`. Each file is read as one line, so that no line break hides a riddle.
#[test]
fn riddles_stand_nowhere() {
    let mut sources = pages();
    sources.retain(|page| !page.ends_with("CHANGELOG.md"));
    for folder in ["src", "packaging", "examples"] {
        for ending in ["rs", "toml", "service"] {
            files(&Path::new(ROOT).join(folder), ending, &mut sources);
        }
    }
    let mut wrong = Vec::new();
    for path in sources {
        let text = fs::read_to_string(&path).unwrap().to_lowercase();
        let words = text
            .split(|letter: char| letter.is_whitespace() || letter == '/' || letter == '!')
            .filter(|word| !word.is_empty());
        let line = format!(" {} ", words.collect::<Vec<_>>().join(" "));
        for riddle in RIDDLES {
            if let Some(at) = line.find(&format!(" {riddle} ")) {
                let end = (at + 60).min(line.len());
                let near = line.get(at..end).unwrap_or(riddle);
                wrong.push(format!("{}: {near}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
