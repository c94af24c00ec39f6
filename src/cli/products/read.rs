//! The file of an import: CSV or JSON lines, as rows that the rules can check.
//!
//! It is read twice, so that nothing is written before all of it was seen; what cannot be read twice, such as a pipe, is kept in a temporary file.
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read as _, Seek as _},
    path::Path,
};

use serde_json::Value;

use super::csv::{CsvError, ROW_BYTES_MAX, Records, utf8};
use crate::{
    cli::{
        exit::{Exit, Failure},
        text,
    },
    shop::import::{Column, Raw},
};

/// The name that stands for standard input.
const STDIN: &str = "-";
/// No catalogue is larger; beyond it the keys that are remembered would take too much memory.
const ROWS_MAX: u64 = 1_000_000;

/// How the rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    Csv,
    Jsonl,
}

/// A row that cannot be read; the others can.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadLine {
    pub(super) line: u64,
    pub(super) column: Option<Column>,
    pub(super) value: String,
    pub(super) reason: String,
}

impl BadLine {
    fn new(line: u64, value: &str, reason: impl Into<String>) -> Self {
        Self { line, column: None, value: value.to_owned(), reason: reason.into() }
    }
}

/// A file that can be read more than once.
#[derive(Debug)]
pub(super) struct Source {
    /// As the user named it.
    pub(super) name: String,
    pub(super) bytes: u64,
    file: File,
    format: Format,
    /// Columns to be left out.
    ignored: Vec<String>,
}

impl Source {
    /// Opens a file, or standard input.
    pub(super) fn open(path: &Path, format: Option<Format>, ignored: &[String]) -> Result<Self, Failure> {
        let name = path.display().to_string();
        if name != STDIN && path.is_dir() {
            return Err(Failure::usage(format!("`{name}` is a directory")).advise("name the file itself, as CSV or JSON lines"));
        }
        let Some(format) = format.or_else(|| format_of(path)) else {
            return Err(Failure::usage(format!("is `{name}` CSV or JSON lines?")).advise("say it: `--format csv` or `--format jsonl`"));
        };
        let failed = |error: io::Error| Failure::because(Exit::Usage, format!("failed to read `{name}`"), &error);
        let file = if name == STDIN { keep(&mut io::stdin().lock()) } else { open(path) }.map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        Ok(Self { bytes, file, format, ignored: ignored.to_vec(), name: if name == STDIN { "standard input".to_owned() } else { name } })
    }

    /// The rows from the beginning on.
    pub(super) fn rows(&self) -> Result<Rows<'_>, Failure> {
        let failed = |error: io::Error| Failure::because(Exit::Usage, format!("failed to read `{}`", self.name), &error);
        let mut file = &self.file;
        file.rewind().map_err(failed)?;
        let mut input = BufReader::with_capacity(64 * 1024, file);
        if [b"\xff\xfe", b"\xfe\xff"].iter().any(|mark| input.fill_buf().is_ok_and(|bytes| bytes.starts_with(*mark))) {
            return Err(self.fault("the file is UTF-16, not UTF-8").advise(
                "spreadsheets call it `CSV UTF-8`; a file in UTF-16 (`Unicode text`) is converted by `iconv -f UTF-16 -t UTF-8 OLD.csv > NEW.csv`",
            ));
        }
        skip_mark(&mut input).map_err(failed)?;
        let lines = match self.format {
            Format::Csv => {
                let mut records = Records::new(input);
                let columns = header(self, &mut records)?;
                Lines::Csv { records, columns }
            }
            Format::Jsonl => Lines::Jsonl { input, line: 0 },
        };
        Ok(Rows { source: self, lines, seen: 0 })
    }
}

fn format_of(path: &Path) -> Option<Format> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    match extension.as_str() {
        "csv" => Some(Format::Csv),
        "jsonl" | "ndjson" => Some(Format::Jsonl),
        _ => None,
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut file = File::open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { keep(&mut file) }
}

/// Copies what can be read only once into a file without a name, which is gone when it is closed.
fn keep(input: &mut dyn io::Read) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    io::copy(input, &mut file)?;
    Ok(file)
}

/// Spreadsheets put a byte order mark before UTF-8.
fn skip_mark(input: &mut impl BufRead) -> io::Result<()> {
    const MARK: &[u8] = b"\xef\xbb\xbf";
    if input.fill_buf()?.starts_with(MARK) {
        input.consume(MARK.len());
    }
    Ok(())
}

/// The rows of a file, one after the other.
pub(super) struct Rows<'a> {
    source: &'a Source,
    lines: Lines<'a>,
    seen: u64,
}

enum Lines<'a> {
    Csv { records: Records<BufReader<&'a File>>, columns: Vec<Option<Column>> },
    Jsonl { input: BufReader<&'a File>, line: u64 },
}

impl Rows<'_> {
    /// How far into the file it has come; the file is read ahead a little.
    pub(super) fn bytes_read(&self) -> u64 {
        let mut file = &self.source.file;
        file.stream_position().unwrap_or(0)
    }

    /// The next row that says anything.
    pub(super) fn next(&mut self) -> Result<Option<Result<Raw, BadLine>>, Failure> {
        loop {
            let row = match &mut self.lines {
                Lines::Csv { records, columns } => csv_row(self.source, records, columns)?,
                Lines::Jsonl { input, line } => json_row(self.source, input, line)?,
            };
            match row {
                Some(Ok(raw)) if raw.is_blank() => {}
                row => {
                    self.seen += u64::from(row.is_some());
                    if self.seen > ROWS_MAX {
                        return Err(self.source.fault(format!("more than {ROWS_MAX} rows")).advise("import it in parts"));
                    }
                    return Ok(row);
                }
            }
        }
    }
}

impl Source {
    /// Something that is wrong with the file as a whole.
    fn fault(&self, what: impl std::fmt::Display) -> Failure {
        Failure::usage(format!("{}: {what}; nothing was written", self.name))
    }

    fn text(&self, bytes: Vec<u8>, line: u64) -> Result<String, Failure> {
        utf8(&self.name, bytes, line)
    }

    fn column(&self, name: &str, line: u64) -> Result<Option<Column>, Failure> {
        let name = name.trim().to_lowercase();
        if let Some(column) = Column::from_word(&name) {
            return Ok(Some(column));
        }
        if self.ignored.iter().any(|ignored| ignored.trim().to_lowercase() == name) {
            return Ok(None);
        }
        let words = || Column::ALL.iter().map(|column| column.word());
        let advice = match text::closest(&name, words()) {
            Some(closest) => format!("did you mean `{closest}`? `--ignore '{name}'` leaves it out"),
            None => format!("`--ignore '{name}'` leaves it out; the columns are {}", words().collect::<Vec<_>>().join(", ")),
        };
        Err(self.fault(format!("line {line}: there is no column `{}`", text::one_line(&name))).advise(advice))
    }
}

fn header(source: &Source, records: &mut Records<BufReader<&File>>) -> Result<Vec<Option<Column>>, Failure> {
    let record = records.next().map_err(|error| source.fault(error))?.ok_or_else(|| source.fault("the file is empty"))?;
    if let [only] = record.fields.as_slice()
        && let Some(separator) = separator_of(&String::from_utf8_lossy(only))
    {
        return Err(source
            .fault(format!("line {}: the columns are separated by {separator}", record.line))
            .advise("save the file as CSV whose columns are separated by commas"));
    }
    let mut columns = Vec::new();
    for field in record.fields {
        let column = source.column(&source.text(field, record.line)?, record.line)?;
        if column.is_some() && columns.contains(&column) {
            let name = column.map(Column::word).unwrap_or_default();
            return Err(source.fault(format!("line {}: the column `{name}` is there twice", record.line)));
        }
        columns.push(column);
    }
    if columns.contains(&Some(Column::Asin)) {
        return Ok(columns);
    }
    Err(source
        .fault(format!("line {}: there is no column `asin`", record.line))
        .advise("the first line names the columns, separated by commas"))
}

/// What stands between the columns of a line that has no comma, as spreadsheets of some countries write it.
fn separator_of(line: &str) -> Option<&'static str> {
    let is_column = |part: &str| Column::from_word(&part.trim_matches(['"', ' ']).to_lowercase()).is_some();
    let parts = |separator: char| line.contains(separator) && line.split(separator).any(is_column);
    [(';', "`;`"), ('\t', "tabs")].into_iter().find(|(separator, _)| parts(*separator)).map(|(_, name)| name)
}

fn csv_row(
    source: &Source,
    records: &mut Records<BufReader<&File>>,
    columns: &[Option<Column>],
) -> Result<Option<Result<Raw, BadLine>>, Failure> {
    let Some(record) = records.next().map_err(|error| source.fault(error))? else { return Ok(None) };
    let (line, found) = (record.line, record.fields.len());
    let texts = record.fields.into_iter().map(|field| source.text(field, line)).collect::<Result<Vec<_>, _>>()?;
    let first = texts.first().map(String::as_str).unwrap_or_default();
    if record.malformed {
        return Ok(Some(Err(BadLine::new(line, first, "a field goes on after its closing quote; a quote within quotes is written twice"))));
    }
    if found != columns.len() {
        let reason = format!("{} where the header has {}", text::counted(found, "field"), columns.len());
        return Ok(Some(Err(BadLine::new(line, first, reason))));
    }
    let mut raw = Raw::new(line);
    for (column, value) in columns.iter().zip(&texts) {
        let Some(column) = column else { continue };
        match images(*column, value) {
            Ok(Some(list)) => raw.set(*column, &list),
            Ok(None) => raw.set(*column, value),
            Err(reason) => return Ok(Some(Err(BadLine { column: Some(*column), ..BadLine::new(line, value, reason) }))),
        }
    }
    Ok(Some(Ok(raw)))
}

/// A JSON list in a cell, as the rules want it.
fn images(column: Column, value: &str) -> Result<Option<String>, String> {
    if column != Column::Images || !value.trim_start().starts_with('[') {
        return Ok(None);
    }
    serde_json::from_str::<Vec<String>>(value)
        .map(|list| Some(list.join("|")))
        .map_err(|error| format!("no list of texts in JSON: {error}"))
}

fn json_row(source: &Source, input: &mut BufReader<&File>, line: &mut u64) -> Result<Option<Result<Raw, BadLine>>, Failure> {
    let most = u64::try_from(ROW_BYTES_MAX).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    let read = input.by_ref().take(most).read_until(b'\n', &mut bytes).map_err(|error| source.fault(error))?;
    if read == 0 {
        return Ok(None);
    }
    *line += 1;
    if read == ROW_BYTES_MAX && bytes.last() != Some(&b'\n') {
        return Err(source.fault(CsvError::Long(*line)));
    }
    let text = source.text(bytes, *line)?;
    let text = text.trim();
    if text.is_empty() {
        return Ok(Some(Ok(Raw::new(*line))));
    }
    let object = match serde_json::from_str(text) {
        Ok(Value::Object(object)) => object,
        Ok(_) => return Ok(Some(Err(BadLine::new(*line, text, "a line is one JSON object")))),
        Err(error) => return Ok(Some(Err(BadLine::new(*line, text, format!("no JSON object on one line: {error}"))))),
    };
    let mut raw = Raw::new(*line);
    for (name, value) in object {
        let Some(column) = source.column(&name, *line)? else { continue };
        let Some(text) = json_text(column, &value) else {
            let bad = BadLine::new(*line, &value.to_string(), "neither a text nor a number");
            return Ok(Some(Err(BadLine { column: Some(column), ..bad })));
        };
        raw.set(column, &text);
    }
    Ok(Some(Ok(raw)))
}

/// A value as it would stand in a cell.
fn json_text(column: Column, value: &Value) -> Option<String> {
    match value {
        Value::Null => Some(String::new()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(value) => Some(value.to_string()),
        Value::String(value) => Some(value.clone()),
        Value::Array(list) if column == Column::Images => {
            list.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>().map(|list| list.join("|"))
        }
        Value::Array(_) | Value::Object(_) => None,
    }
}
