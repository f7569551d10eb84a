//! The shell programs of `scripts/`, which run in the guest.

/// A shell program after assignments of its parameters. A program names its parameters in its first
/// lines.
pub(crate) fn script(program: &str, parameters: &[(&str, &str)]) -> String {
    let assign = |(name, value): &(&str, &str)| format!("export {name}={}\n", quoted(value));
    parameters.iter().map(assign).collect::<String>() + program
}

/// The text as one word of a shell.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
