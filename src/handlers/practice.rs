//! Practice (`--sandbox`) touches no real file: what a handler would write or remove lies below the practice state instead.
use std::{
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use super::{AttemptContext, Handler, HandlerError, Report};
use crate::{
    clock::BoxFuture,
    core::value::{Params, Value},
    os,
};

/// The folder below the practice state that stands for all others.
const FOLDER: &str = "files";

/// A handler whose parameters name files or folders of the real world that it would change.
#[derive(Debug)]
pub(super) struct Practised {
    inner: Arc<dyn Handler>,
    root: PathBuf,
    names: &'static [Name],
}

/// A parameter that names something on the disk.
#[derive(Clone, Copy, Debug)]
pub(super) enum Name {
    /// A file; its folder has to be there.
    File(&'static str),
    /// A folder.
    Folder(&'static str),
    /// A folder, in a table of its own.
    Within(&'static str, &'static str),
}

impl Practised {
    /// `inner`, with what `names` say kept below the practice state.
    pub(super) fn new(inner: Arc<dyn Handler>, state_dir: &Path, names: &'static [Name]) -> Self {
        Self { inner, root: state_dir.join(FOLDER), names }
    }

    fn moved(&self, params: &Params) -> Params {
        let mut moved = params.clone();
        for name in self.names {
            let (key, folder) = match *name {
                Name::File(key) => (key, false),
                Name::Folder(key) => (key, true),
                Name::Within(table, key) => {
                    if let Some(Value::Table(inner)) = moved.0.get_mut(table) {
                        self.put(inner, key, true);
                    }
                    continue;
                }
            };
            self.put(&mut moved, key, folder);
        }
        moved
    }

    /// Moves what a parameter names. Its folder is made; where that fails, the handler itself says what is wrong with it.
    fn put(&self, params: &mut Params, key: &str, is_folder: bool) {
        let Some(path) = params.text(key).map(|path| below(&self.root, path)) else { return };
        let folder = if is_folder { Some(path.as_path()) } else { path.parent() };
        if let Some(folder) = folder {
            drop(os::make_folder(folder, 0o700));
        }
        params.0.insert(key.into(), Value::Text(path.to_string_lossy().into()));
    }
}

impl Handler for Practised {
    fn run<'a>(&'a self, ctx: &'a AttemptContext) -> BoxFuture<'a, Result<Report, HandlerError>> {
        Box::pin(async move {
            let ctx = AttemptContext { params: self.moved(&ctx.params), ..ctx.clone() };
            self.inner.run(&ctx).await
        })
    }
}

/// The place of a path below a root: never outside it, whatever the path says.
fn below(root: &Path, path: &str) -> PathBuf {
    let mut place = root.to_owned();
    for part in Path::new(path).components() {
        if let Component::Normal(part) = part {
            place.push(part);
        }
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leads_out_of_the_practice_state() {
        for (path, expected) in [("images", "/p/images"), ("/var/www/i", "/p/var/www/i"), ("../../etc/x", "/p/etc/x"), ("./a/b", "/p/a/b")]
        {
            assert_eq!(below(Path::new("/p"), path), Path::new(expected));
        }
    }
}
