//! Comma-separated values as RFC 4180 and spreadsheets write them, record by record.
//!
//! Each record knows the line on which it begins, whatever the line ends are and however many lines were blank before it; and no record takes more
//! memory than a row of a catalogue can need, even where a quote is never closed.
use std::io::{self, BufRead};

use crate::cli::exit::Failure;

/// No row is longer: 20 addresses of pictures and a long description are a tenth of it.
pub(in crate::cli) const ROW_BYTES_MAX: usize = 1024 * 1024;

/// A row of the file.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) struct Record {
    /// Where it begins; the first line is 1.
    pub(in crate::cli) line: u64,
    pub(in crate::cli) fields: Vec<Vec<u8>>,
    /// A quoted field went on after its closing quote.
    pub(in crate::cli) malformed: bool,
}

/// Why the file cannot be read on.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum CsvError {
    #[error("the row that begins on line {0} has a quote that is never closed")]
    Unclosed(u64),
    #[error("the row that begins on line {0} is longer than {max} KiB: is a quote not closed?", max = ROW_BYTES_MAX / 1024)]
    Long(u64),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The text of a field. What is not UTF-8 concerns the whole file: none of it would be what its writer meant.
pub(in crate::cli) fn utf8(file: &str, field: Vec<u8>, line: u64) -> Result<String, Failure> {
    String::from_utf8(field).map_err(|_| {
        let advice = "save it as UTF-8: spreadsheets call it `CSV UTF-8`; a file in Shift-JIS is converted by `iconv -f CP932 -t UTF-8 OLD.csv > NEW.csv`";
        Failure::usage(format!("{file}: the row that begins on line {line} is not UTF-8; nothing was written")).advise(advice)
    })
}

/// Where in a record the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spot {
    /// At the beginning of a field.
    Begin,
    /// In a field without quotes; a quote in it is a character like any other.
    Plain,
    Quoted,
    /// After a quote within quotes: it ends the field unless another one follows.
    Closed,
}

/// The records of a file.
#[derive(Debug)]
pub(in crate::cli) struct Records<R> {
    input: R,
    line: u64,
}

impl<R: BufRead> Records<R> {
    pub(in crate::cli) fn new(input: R) -> Self {
        Self { input, line: 1 }
    }

    /// The next record that is not a blank line.
    pub(in crate::cli) fn next(&mut self) -> Result<Option<Record>, CsvError> {
        let mut record = Record { line: self.line, fields: Vec::new(), malformed: false };
        let (mut field, mut spot, mut size) = (Vec::new(), Spot::Begin, 0);
        while let Some(byte) = self.byte()? {
            size += 1;
            if size > ROW_BYTES_MAX {
                return Err(CsvError::Long(record.line));
            }
            match (spot, byte) {
                (Spot::Quoted, b'"') => spot = Spot::Closed,
                (Spot::Quoted, _) => {
                    self.line += u64::from(byte == b'\n');
                    field.push(byte);
                }
                (Spot::Closed, b'"') => {
                    field.push(byte);
                    spot = Spot::Quoted;
                }
                (Spot::Begin, b'"') => spot = Spot::Quoted,
                (_, b',') => {
                    record.fields.push(std::mem::take(&mut field));
                    spot = Spot::Begin;
                }
                (_, b'\n' | b'\r') => {
                    self.end_line(byte)?;
                    if spot == Spot::Begin && record.fields.is_empty() {
                        record.line = self.line;
                        size = 0;
                        continue;
                    }
                    record.fields.push(field);
                    return Ok(Some(record));
                }
                (Spot::Begin | Spot::Plain | Spot::Closed, _) => {
                    record.malformed |= spot == Spot::Closed;
                    field.push(byte);
                    spot = Spot::Plain;
                }
            }
        }
        match spot {
            Spot::Quoted => Err(CsvError::Unclosed(record.line)),
            Spot::Begin if record.fields.is_empty() => Ok(None),
            Spot::Begin | Spot::Plain | Spot::Closed => {
                record.fields.push(field);
                Ok(Some(record))
            }
        }
    }

    fn byte(&mut self) -> io::Result<Option<u8>> {
        let byte = self.input.fill_buf()?.first().copied();
        if byte.is_some() {
            self.input.consume(1);
        }
        Ok(byte)
    }

    /// A line ends with a line feed, a carriage return, or both.
    fn end_line(&mut self, byte: u8) -> io::Result<()> {
        self.line += 1;
        if byte == b'\r' && self.input.fill_buf()?.first() == Some(&b'\n') {
            self.input.consume(1);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(u64, Vec<String>)> {
        // A small buffer, so that every place is a boundary once.
        let mut records = Records::new(io::BufReader::with_capacity(3, text.as_bytes()));
        let mut all = Vec::new();
        while let Some(record) = records.next().unwrap() {
            assert!(!record.malformed, "{record:?}");
            let fields = record.fields.into_iter().map(|field| String::from_utf8(field).unwrap()).collect();
            all.push((record.line, fields));
        }
        all
    }

    #[test]
    fn a_record_knows_its_line_whatever_ends_the_lines() {
        let text = "\nasin,title\nA,\"say \"\"hi\"\"\"\n\n\nB,\"two\nlines\"\nC,\nD,24\" wide,\n";
        let wanted = [
            (2, vec!["asin", "title"]),
            (3, vec!["A", "say \"hi\""]),
            (6, vec!["B", "two\nlines"]),
            (8, vec!["C", ""]),
            (9, vec!["D", "24\" wide", ""]),
        ];
        let wanted = wanted.map(|(line, fields)| (line, fields.into_iter().map(str::to_owned).collect::<Vec<_>>()));
        assert_eq!(read(text), wanted);
        assert_eq!(read(text.trim_end()), wanted, "the last line need not end");
        let lines = |text: &str| read(text).into_iter().map(|(line, _)| line).collect::<Vec<_>>();
        assert_eq!(lines(&text.replace('\n', "\r\n")), [2, 3, 6, 8, 9]);
        assert_eq!(lines("a\rb\r\rc"), [1, 2, 4]);
        assert_eq!(read(""), []);
    }

    #[test]
    fn a_quote_that_is_never_closed_takes_no_more_memory_than_a_row() {
        let mut records = Records::new("a,b\nc,\"d\ne,f\n".as_bytes());
        assert_eq!(records.next().unwrap().unwrap().line, 1);
        assert!(matches!(records.next(), Err(CsvError::Unclosed(2))));
        let mut records = Records::new(io::BufReader::new(io::repeat(b'x')));
        assert!(matches!(records.next(), Err(CsvError::Long(1))));
    }

    #[test]
    fn what_follows_a_closing_quote_is_seen_and_the_next_record_is_sound() {
        let mut records = Records::new("\"a\"b,c\nd,e\n".as_bytes());
        assert!(records.next().unwrap().unwrap().malformed);
        assert_eq!(records.next().unwrap().unwrap(), Record { line: 2, fields: vec![b"d".to_vec(), b"e".to_vec()], malformed: false });
    }
}
