//! Columns for people.

use std::io::Write;

use tabwriter::TabWriter;

use crate::report::Failure;

/// Lays out rows under their heads, three spaces apart. Cells are one line each: what a guest may have named is
/// escaped.
pub(crate) fn layout(
    head: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
) -> Result<String, Failure> {
    let mut text = head.join("\t") + "\n";
    for row in rows {
        let cells: Vec<String> = row.iter().map(|cell| one_line(cell)).collect();
        text.push_str(&cells.join("\t"));
        text.push('\n');
    }
    let mut table = TabWriter::new(Vec::new()).minwidth(0).padding(3);
    let filled = table
        .write_all(text.as_bytes())
        .and_then(|()| table.flush())
        .map_err(|error| Failure::doing("cannot lay out the table", &error));
    filled?;
    let bytes = table
        .into_inner()
        .map_err(|_| Failure::new("cannot lay out the table"))?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    Ok(lines.join("\n"))
}

/// Text without control characters: they could move the cursor, or forge a row.
pub(crate) fn one_line(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    let escape = |c: char| {
        if c.is_control() {
            c.escape_default().collect()
        } else {
            c.to_string()
        }
    };
    text.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_cells_stay_in_their_row() {
        let rows = [["a", "b"], ["long", "x\ny\x1b[2J"]];
        let rows = rows.map(|row| row.map(str::to_owned).to_vec()).into_iter();
        let wanted = "ONE    TWO\na      b\nlong   x\\ny\\u{1b}[2J";
        assert_eq!(layout(&["ONE", "TWO"], rows).unwrap(), wanted);
    }
}
