//! Where output goes: data to stdout, talk to stderr, colour only where somebody sees it.
use std::io::{self, IsTerminal as _, Write as _};

use anstream::{AutoStream, ColorChoice};
use serde::Serialize;

use super::{
    exit::Failure,
    text::{BAD, BOLD, ODD},
};

/// Stdout and stderr, and what the user wants on them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Screen {
    out_color: ColorChoice,
    err_color: ColorChoice,
    quiet: bool,
    progress: bool,
    out_is_terminal: bool,
}

impl Screen {
    /// `wish`: `--color`; `auto` looks at the terminal, `NO_COLOR` and `TERM`.
    pub(crate) fn new(wish: clap::ColorChoice, quiet: bool, progress: bool) -> Self {
        let (out_color, err_color) = match wish {
            clap::ColorChoice::Auto => (AutoStream::choice(&io::stdout()), AutoStream::choice(&io::stderr())),
            clap::ColorChoice::Always => (ColorChoice::Always, ColorChoice::Always),
            clap::ColorChoice::Never => (ColorChoice::Never, ColorChoice::Never),
        };
        Self { out_color, err_color, quiet, progress, out_is_terminal: io::stdout().is_terminal() }
    }

    /// Whether a person reads stdout now.
    pub(crate) fn out_is_terminal(self) -> bool {
        self.out_is_terminal
    }

    /// Whether a bar may be drawn on stderr.
    pub(crate) fn draws_bars(self) -> bool {
        self.progress && !self.quiet && io::stderr().is_terminal()
    }

    /// Whether the user wants no talk.
    pub(crate) fn is_quiet(self) -> bool {
        self.quiet
    }

    /// Whether stdout shows colour.
    pub(crate) fn out_has_color(self) -> bool {
        self.out_color != ColorChoice::Never
    }

    /// Whether stderr shows colour.
    pub(crate) fn err_has_color(self) -> bool {
        self.err_color != ColorChoice::Never
    }

    /// Writes data.
    pub(crate) fn data(self, text: &str) -> Result<(), Failure> {
        let mut out = AutoStream::new(io::stdout().lock(), self.out_color);
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    }

    /// Writes one JSON document, for programs.
    pub(crate) fn json(self, document: &impl Serialize) -> Result<(), Failure> {
        self.data(&format!("{}\n", serde_json::to_string_pretty(document).map_err(io::Error::from)?))
    }

    /// Writes one JSON object on a line of its own.
    pub(crate) fn json_line(self, object: &impl Serialize) -> Result<(), Failure> {
        self.data(&format!("{}\n", serde_json::to_string(object).map_err(io::Error::from)?))
    }

    /// Talks to the user, unless `--quiet`. A stderr that is closed is nothing to stop for.
    pub(crate) fn say(self, text: &str) {
        if !self.quiet {
            self.on_stderr(text);
        }
    }

    /// Says what went wrong, on what, why, and what to do next.
    pub(crate) fn error(self, message: &str, advice: Option<&str>) {
        let hint = advice.map(|advice| format!("\n  = help: {advice}")).unwrap_or_default();
        self.on_stderr(&format!("{BAD}error{BAD:#}{BOLD}: {message}{BOLD:#}{hint}"));
    }

    /// Says what works, and will not for long, or not as it is meant.
    #[cfg_attr(windows, expect(dead_code, reason = "only systemd's side has something to say yet"))]
    pub(crate) fn warning(self, message: &str, advice: &str) {
        self.say(&format!("{ODD}warning{ODD:#}{BOLD}: {message}{BOLD:#}\n  = help: {advice}"));
    }

    /// Writes a line to stderr whatever the user wants.
    pub(crate) fn on_stderr(self, text: &str) {
        let mut err = AutoStream::new(io::stderr().lock(), self.err_color);
        writeln!(err, "{text}").unwrap_or_default();
    }
}
