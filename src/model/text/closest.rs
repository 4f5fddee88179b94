//! Which word is likely to be meant.

/// Of words that are known, the one that comes closest to `word`, if it is as like it as that: from 0 to 1, for the same.
pub fn closest<T: AsRef<str>>(
    word: &str,
    known: impl IntoIterator<Item = T>,
    like: f64,
) -> Option<T> {
    known
        .into_iter()
        .map(|known| (strsim::jaro(known.as_ref(), word), known))
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .filter(|(likeness, _)| *likeness > like)
        .map(|(_, known)| known)
}
