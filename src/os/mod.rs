//! What differs between systems about files, drives and processes that are not our children: a file a system, the same functions in each.
//!
//! Modes are Unix's. On Windows the folder's access list decides who may do what, and files inherit it.
use std::{fs::File, path::Path};

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(crate) use unix::*;
#[cfg(windows)]
pub(crate) use windows::*;

/// The folder that a path is in; of a bare name, the working directory.
pub(crate) fn above(path: &Path) -> &Path {
    path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Ends a lock of ours on a file, whoever else has the file open by the same handle. What can't be unlocked is when it is closed.
///
/// That it failed is no news: std unlocks twice, as under Windows a handle may have both kinds of lock, and Wine names the second time another error
/// than the one that std expects.
pub(crate) fn unlock(file: &File) {
    drop(file.unlock());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_folder_in_its_name_is_in_the_working_directory() {
        for (path, folder) in [("tasks.yaml", "."), ("shop/tasks.yaml", "shop"), ("/tasks.yaml", "/"), ("/", "."), ("", ".")] {
            assert_eq!(above(Path::new(path)), Path::new(folder), "{path}");
        }
    }

    #[test]
    fn a_folder_is_writable_where_a_file_can_be_made_in_it() {
        let folder = tempfile::tempdir().unwrap();
        writable(folder.path()).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the look leaves nothing");
        assert!(writable(&folder.path().join("missing")).is_err());
    }

    #[test]
    fn a_folder_of_this_machine_is_on_no_network_and_has_room() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(network_drive(folder.path()), None);
        assert!(free_space(folder.path()).unwrap() > 0);
    }
}
