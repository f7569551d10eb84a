//! The sizes of files and functions.

use crate::source::Source;

const MAX_FILE_LINES: usize = 500;
const MAX_FUNCTION_LINES: usize = 60;

/// The files and functions that are too long, as `NAME: LINES`.
pub(crate) fn too_long(source: &Source) -> Vec<String> {
    let file = source.file.display();
    let lines: Vec<&str> = source.text().lines().collect();
    let mut found = Vec::new();
    if lines.len() > MAX_FILE_LINES {
        found.push(format!("{file}: {} lines", lines.len()));
    }
    for (start, line) in lines.iter().enumerate() {
        let Some(name) = function(line) else { continue };
        // rustfmt indents the closing brace as far as the function's first line.
        let end = format!("{}}}", &line[..line.len() - line.trim_start().len()]);
        let length = lines[start..].iter().position(|line| *line == end).map_or(1, |at| at + 1);
        if length > MAX_FUNCTION_LINES {
            found.push(format!("{file}: {name}: {length} lines"));
        }
    }
    found
}

/// The name of the function that begins on this line.
fn function(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let declares = before.split_whitespace().all(|word| {
        ["pub", "const", "unsafe", "async", "extern"].contains(&word) || word.starts_with("pub(")
    });
    (declares && !line.trim_end().ends_with(['}', ';'])).then(|| after.split(['(', '<']).next())?
}
