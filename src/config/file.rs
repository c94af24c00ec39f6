//! Reads tasks.yaml itself: a plain file of a sensible size that nobody else can change.
use std::{
    fs,
    io::{self, Read as _},
    path::Path,
};

use super::fault::Fault;

/// No configuration is larger.
const SIZE_MAX: u64 = 16 << 20;

/// The text of the file; or a fault and the text that it points into.
pub(super) fn read(path: &Path) -> Result<String, Box<(Fault, String)>> {
    let whole = |fault: Box<Fault>| Box::new((*fault, String::new()));
    let bytes = read_bytes(path).map_err(whole)?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let fault = Fault::new(at..at, "this is not UTF-8").hint("save the file as UTF-8");
        Box::new((fault, String::from_utf8_lossy(error.as_bytes()).into_owned()))
    })
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, Box<Fault>> {
    // Asked before the file is opened: opening a pipe could wait for ever.
    if !fs::metadata(path).map_err(|error| unreadable(&error))?.is_file() {
        return Err(Box::new(Fault::whole("this is not a file")));
    }
    let file = fs::File::open(path).map_err(|error| unreadable(&error))?;
    let metadata = file.metadata().map_err(|error| unreadable(&error))?;
    if let Some(who) = writable_by(&metadata) {
        let fault = Fault::whole(format!("{who} can write to this file, and with it run what they like in your name"));
        return Err(Box::new(fault.hint(format!("chmod go-w {}", path.display()))));
    }
    let too_large = || Box::new(Fault::whole("the file is larger than 16 MiB"));
    if metadata.len() > SIZE_MAX {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    file.take(SIZE_MAX + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
    if bytes.len() as u64 > SIZE_MAX { Err(too_large()) } else { Ok(bytes) }
}

fn unreadable(error: &io::Error) -> Box<Fault> {
    Box::new(match error.kind() {
        io::ErrorKind::NotFound => {
            Fault::whole("there is no such file").hint("name another with `--config FILE`, or go to the folder of tasks.yaml")
        }
        _ => Fault::whole(format!("failed to read the file: {error}")),
    })
}

/// Who else can write to the file. A group with its owner's number is the owner's own, as Debian, Ubuntu and Fedora set it up: there a fresh clone is
/// writable by that group.
#[cfg(unix)]
fn writable_by(metadata: &fs::Metadata) -> Option<&'static str> {
    use std::os::unix::fs::MetadataExt as _;
    let mode = metadata.mode();
    if mode & 0o002 != 0 {
        Some("everybody")
    } else if mode & 0o020 != 0 && metadata.gid() != metadata.uid() {
        Some("the file's group")
    } else {
        None
    }
}

/// Elsewhere the folder's access list decides.
#[cfg(not(unix))]
fn writable_by(_metadata: &fs::Metadata) -> Option<&'static str> {
    None
}
