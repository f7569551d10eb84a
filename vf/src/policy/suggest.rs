//! Suggestions for misspelt names.

/// Returns the candidate with the smallest edit distance, unless more than half of the characters
/// differ.
pub(crate) fn nearest<'a>(
    typed: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // Limits the time, which grows with the length of the user's input.
    let typed: String = typed.chars().take(80).collect();
    let distance = |candidate: &&str| strsim::damerau_levenshtein(&typed, candidate);
    let nearest = candidates.into_iter().min_by_key(distance)?;
    let half = typed.chars().count().max(nearest.chars().count()).div_ceil(2);
    (distance(&nearest) <= half).then_some(nearest)
}

/// Returns the hint for a name that does not exist.
pub(crate) fn did_you_mean(typed: &str, existing: &[&str]) -> String {
    match nearest(typed, existing.iter().copied()) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("use one of: {}", existing.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_similar_names_are_suggested() {
        assert_eq!(did_you_mean("vsf", &["name", "vfs"]), "did you mean `vfs`?");
        assert_eq!(did_you_mean("sensor", &["taps", "sensors"]), "did you mean `sensors`?");
        assert_eq!(did_you_mean("colour", &["name", "vfs"]), "use one of: name, vfs");
        assert_eq!(did_you_mean("", &["name"]), "use one of: name");
    }
}
