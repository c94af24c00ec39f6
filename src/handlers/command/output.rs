//! What a program prints: both pipes are always drained, line by line, into the log; never more in memory than a few lines and the capped end.
use std::collections::VecDeque;

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{ChildStderr, ChildStdout},
};

use crate::os;

/// What the log calls these lines.
const TARGET: &str = "taskrun::command";

/// A longer line goes to the log in pieces of this size.
const LINE_MAX: usize = 64 << 10;

/// How much is asked of a pipe at a time.
const READ_MAX: usize = 16 << 10;

/// The end of an output that is over its cap is kept in memory, so it has a limit of its own.
const TAIL_MAX: u64 = 512 << 10;

/// The last line of each stream is for the history: no longer than this.
const LAST_WORDS_MAX: usize = 300;

/// Which pipe a line came through.
#[derive(Clone, Copy, Debug)]
enum Stream {
    Out,
    Err,
}

/// The last line of each stream that was not empty.
#[derive(Debug, Default)]
pub(super) struct LastWords {
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// The output of a child.
#[derive(Debug)]
pub(super) struct Output {
    stdout: Pipe<ChildStdout>,
    stderr: Pipe<ChildStderr>,
    capped: Capped,
}

impl Output {
    /// Takes both pipes of a child; at most `cap` bytes of what comes through them go to the log.
    pub(super) fn of((stdout, stderr): (Option<ChildStdout>, Option<ChildStderr>), cap: u64) -> Self {
        Self { stdout: Pipe::new(stdout), stderr: Pipe::new(stderr), capped: Capped::new(cap) }
    }

    /// Reads until both pipes are closed, and tells `moved` whenever something came. May be dropped at any time; nothing that was read is lost.
    pub(super) async fn drain(&mut self, moved: impl Fn()) {
        loop {
            moved();
            tokio::select! {
                () = self.stdout.read(), if self.stdout.source.is_some() => self.stdout.hand_over(|line| self.capped.take(Stream::Out, line)),
                () = self.stderr.read(), if self.stderr.source.is_some() => self.stderr.hand_over(|line| self.capped.take(Stream::Err, line)),
                else => return,
            }
        }
    }

    /// Shows what is left: lines without an end, and the end of an output that was over its cap.
    pub(super) fn finish(mut self) -> LastWords {
        for (stream, rest) in [(Stream::Out, &self.stdout.begun), (Stream::Err, &self.stderr.begun)] {
            if !rest.is_empty() {
                self.capped.take(stream, rest);
            }
        }
        self.capped.finish()
    }
}

/// One pipe and the beginning of a line that came through it.
#[derive(Debug)]
struct Pipe<R> {
    source: Option<R>,
    begun: Vec<u8>,
    /// This much of what has begun is known to hold no line feed.
    searched: usize,
}

impl<R: AsyncRead + Unpin> Pipe<R> {
    fn new(source: Option<R>) -> Self {
        Self { source, begun: Vec::new(), searched: 0 }
    }

    /// Reads once.
    async fn read(&mut self) {
        let Some(source) = &mut self.source else { return };
        self.begun.reserve(READ_MAX);
        match source.take(READ_MAX as u64).read_buf(&mut self.begun).await {
            Ok(0) => self.source = None,
            Ok(_) => (),
            Err(error) => {
                tracing::warn!(target: TARGET, "failed to read the program's output: {error}");
                self.source = None;
            }
        }
    }

    /// Hands over the lines that are whole, and pieces of a line that is too long.
    fn hand_over(&mut self, mut sink: impl FnMut(&[u8])) {
        let mut rest = self.begun.as_slice();
        let mut searched = self.searched;
        loop {
            let line_end = rest.iter().take(LINE_MAX + 1).skip(searched).position(|byte| *byte == b'\n').map(|end| searched + end);
            searched = 0;
            let (line, behind) = match line_end {
                Some(end) => rest.split_at(end),
                None if rest.len() > LINE_MAX => rest.split_at(boundary(rest)),
                None => break,
            };
            sink(line);
            rest = behind.strip_prefix(b"\n").unwrap_or(behind);
        }
        self.searched = rest.len();
        self.begun.drain(..self.begun.len() - self.searched);
    }
}

/// Where to cut bytes that are too long for a line, so that no UTF-8 character is cut in two.
fn boundary(bytes: &[u8]) -> usize {
    let continues = |at: usize| bytes.get(at).is_some_and(|byte| (0x80..0xC0).contains(byte));
    (LINE_MAX - 3..=LINE_MAX).rev().find(|at| !continues(*at)).unwrap_or(LINE_MAX)
}

/// Lines on their way to the log: the first at once, the last at the end, those between counted.
#[derive(Debug)]
struct Capped {
    /// Bytes that may still be shown at once.
    head_left: u64,
    tail_max: u64,
    tail: VecDeque<(Stream, Vec<u8>)>,
    tail_size: u64,
    left_out: u64,
    over: bool,
    last_words: LastWords,
}

impl Capped {
    fn new(cap: u64) -> Self {
        let tail_max = (cap / 2).min(TAIL_MAX);
        let head_left = cap.saturating_sub(tail_max);
        Self { head_left, tail_max, tail: VecDeque::new(), tail_size: 0, left_out: 0, over: false, last_words: LastWords::default() }
    }

    fn take(&mut self, stream: Stream, line: &[u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.remember(stream, line);
        let size = line.len() as u64 + 1;
        if !self.over && size <= self.head_left {
            self.head_left -= size;
            show(stream, line);
            return;
        }
        if !self.over {
            self.over = true;
            tracing::warn!(target: TARGET, "much output (`output_cap`): from here on only its end will be shown, when the program ends");
        }
        self.tail.push_back((stream, line.to_vec()));
        self.tail_size += size;
        while self.tail_size > self.tail_max
            && let Some((_, dropped)) = self.tail.pop_front()
        {
            let size = dropped.len() as u64 + 1;
            self.tail_size -= size;
            self.left_out += size;
        }
    }

    fn remember(&mut self, stream: Stream, line: &[u8]) {
        let line = line.trim_ascii();
        if line.is_empty() {
            return;
        }
        let words = match stream {
            Stream::Out => &mut self.last_words.stdout,
            Stream::Err => &mut self.last_words.stderr,
        };
        words.clear();
        words.extend(os::text(line).chars().filter(|c| !c.is_control()).take(LAST_WORDS_MAX));
    }

    fn finish(self) -> LastWords {
        if self.left_out > 0 {
            tracing::warn!(target: TARGET, "{} bytes of output were left out here (`output_cap`)", self.left_out);
        }
        for (stream, line) in self.tail {
            show(stream, &line);
        }
        self.last_words
    }
}

/// Shows a line. What is not UTF-8 becomes U+FFFD; the log itself escapes control characters.
fn show(stream: Stream, line: &[u8]) {
    let line = os::text(line);
    match stream {
        Stream::Out => tracing::info!(target: TARGET, "{line}"),
        Stream::Err => tracing::warn!(target: TARGET, "{line}"),
    }
}
