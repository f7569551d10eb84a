//! What somebody may have meant who wrote a word that is not known.

/// The candidate that a few slips of the fingers lead to, if any.
pub(crate) fn nearest<'a>(
    typed: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // The time it takes grows with the length, which is whatever somebody typed.
    let typed: String = typed.chars().take(80).collect();
    let distance = |candidate: &&str| strsim::damerau_levenshtein(&typed, candidate);
    let nearest = candidates.into_iter().min_by_key(distance)?;
    let half = typed.chars().count().max(nearest.chars().count()).div_ceil(2);
    (distance(&nearest) <= half).then_some(nearest)
}

/// A hint for a name that is none of those there are.
pub(crate) fn did_you_mean(typed: &str, there_are: &[&str]) -> String {
    match nearest(typed, there_are.iter().copied()) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("there is: {}", there_are.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_a_slip_and_another_word_is_not() {
        assert_eq!(did_you_mean("vsf", &["name", "vfs"]), "did you mean `vfs`?");
        assert_eq!(did_you_mean("sensor", &["taps", "sensors"]), "did you mean `sensors`?");
        assert_eq!(did_you_mean("colour", &["name", "vfs"]), "there is: name, vfs");
        assert_eq!(did_you_mean("", &["name"]), "there is: name");
    }
}
