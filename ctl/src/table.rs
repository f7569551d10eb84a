//! Text tables with aligned columns.

/// Aligns the columns. Control characters become spaces, because a container's name may contain any
/// character and must not control the terminal.
pub(crate) fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let clean = |row: &[String; N]| row.each_ref().map(|cell| cell.replace(char::is_control, " "));
    let rows: Vec<[String; N]> = rows.iter().map(clean).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: [usize; N] = std::array::from_fn(|column| width(column).unwrap_or(0));
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_control_characters_removed() {
        let rows = [["VF", "CONTAINER", "AS"], ["0000:01:10.0", "a\u{1b}[31m", "mon0"]];
        let text = aligned(&rows.map(|row| row.map(str::to_owned)));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0].find("AS"), lines[1].find("mon0"));
        assert!(lines.iter().all(|line| !line.ends_with(' ')));
        assert!(!text.contains('\u{1b}'), "{text:?}");
    }
}
