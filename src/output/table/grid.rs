//! Rows and columns of text, aligned, and as many columns as fit.

use std::io::{self, Write};

/// Between two columns.
const GAP: &str = "  ";

/// What stands above a column, and what it is worth.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Head {
    pub title: &'static str,
    /// Words are aligned to the left, numbers to the right.
    pub words: bool,
    /// Where there is no room for all, those of the lowest rank stay; 0 stays always.
    pub rank: usize,
}

/// A table. Nothing in it is ever cut: what has no room is left out as a column.
#[derive(Debug)]
pub(in super::super) struct Grid {
    columns: Vec<Head>,
    rows: Vec<Vec<String>>,
    widths: Vec<usize>,
}

impl Grid {
    /// Each row has a cell for each column.
    pub fn new(columns: Vec<Head>, rows: Vec<Vec<String>>) -> Self {
        let widths = columns
            .iter()
            .enumerate()
            .map(|(position, column)| {
                let cells = rows.iter().map(|row| row[position].chars().count());
                cells.max().unwrap_or(0).max(column.title.len())
            })
            .collect();
        Self {
            columns,
            rows,
            widths,
        }
    }

    /// How wide its columns up to a rank are together.
    pub fn width_up_to(&self, rank: usize) -> usize {
        let shown = self.columns.iter().zip(&self.widths);
        let wide: usize = shown
            .filter(|(column, _)| column.rank <= rank)
            .map(|(_, width)| width + GAP.len())
            .sum();
        wide.saturating_sub(GAP.len())
    }

    /// The positions of the columns that are shown: by rank, each that still has room.
    fn fitting(&self, room: Option<usize>) -> Vec<usize> {
        let mut positions: Vec<usize> = (0..self.columns.len()).collect();
        let Some(room) = room else {
            return positions;
        };
        let mut left = (room + GAP.len()).saturating_sub(
            self.columns
                .iter()
                .zip(&self.widths)
                .filter(|(column, _)| column.rank == 0)
                .map(|(_, width)| width + GAP.len())
                .sum(),
        );
        positions.retain(|position| self.columns[*position].rank > 0);
        positions.sort_by_key(|position| self.columns[*position].rank);
        positions.retain(|position| {
            let needed = self.widths[*position] + GAP.len();
            let fits = needed <= left;
            if fits {
                left -= needed;
            }
            fits
        });
        positions
            .extend((0..self.columns.len()).filter(|position| self.columns[*position].rank == 0));
        positions.sort_unstable();
        positions
    }

    /// Writes the header and the rows, in no more columns of text than `room`.
    pub fn write(&self, out: &mut impl Write, room: Option<usize>) -> io::Result<()> {
        self.write_with_notes(out, room, |_| None)
    }

    /// The same, with a line below each row that has a note.
    pub fn write_with_notes(
        &self,
        out: &mut impl Write,
        room: Option<usize>,
        note: impl Fn(usize) -> Option<String>,
    ) -> io::Result<()> {
        let shown = self.fitting(room);
        let header: Vec<&str> = self.columns.iter().map(|column| column.title).collect();
        self.write_line(out, &shown, &header)?;
        for (index, row) in self.rows.iter().enumerate() {
            let cells: Vec<&str> = row.iter().map(String::as_str).collect();
            self.write_line(out, &shown, &cells)?;
            if let Some(note) = note(index) {
                writeln!(out, "{GAP}{note}")?;
            }
        }
        Ok(())
    }

    fn write_line(&self, out: &mut impl Write, shown: &[usize], cells: &[&str]) -> io::Result<()> {
        let mut text = String::new();
        for position in shown {
            if !text.is_empty() {
                text.push_str(GAP);
            }
            let (cell, width) = (cells[*position], self.widths[*position]);
            let gap = width.saturating_sub(cell.chars().count());
            let (before, after) = if self.columns[*position].words {
                (0, gap)
            } else {
                (gap, 0)
            };
            text.extend(std::iter::repeat_n(' ', before));
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', after));
        }
        writeln!(out, "{}", text.trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        let column = |title, words, rank| Head { title, words, rank };
        Grid::new(
            vec![
                column("NAME", true, 0),
                column("LARGE NUMBER", false, 2),
                column("N", false, 1),
                column("LAST", true, 3),
            ],
            vec![
                ["süd", "1", "1,234", "x"].map(str::to_owned).to_vec(),
                ["a", "12", "5", ""].map(str::to_owned).to_vec(),
            ],
        )
    }

    fn text(room: Option<usize>) -> String {
        let mut out = Vec::new();
        grid().write(&mut out, room).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn all_columns_where_nobody_says_how_wide() {
        let all = "NAME  LARGE NUMBER      N  LAST\nsüd              1  1,234  x\na               12      5\n";
        assert_eq!(text(None), all);
        assert_eq!(text(Some(31)), all);
    }

    #[test]
    fn the_least_important_go_first_and_what_still_fits_stays() {
        let header = |room| text(Some(room)).lines().next().unwrap().to_owned();
        assert_eq!(header(30), "NAME  LARGE NUMBER      N");
        assert_eq!(header(25), "NAME  LARGE NUMBER      N");
        // Too narrow for the second, wide enough for the last.
        assert_eq!(header(24), "NAME      N  LAST");
        assert_eq!(header(16), "NAME      N");
        assert_eq!(header(10), "NAME  LAST");
        assert_eq!(header(9), "NAME");
        assert_eq!(header(0), "NAME");
    }

    #[test]
    fn knows_how_wide_it_is() {
        let grid = grid();
        assert_eq!(
            [0, 1, 2, 3].map(|rank| grid.width_up_to(rank)),
            [4, 11, 25, 31]
        );
    }
}
