//! What another user may do with a file, by the modes on the way to it: a service's user is seldom the one who installs the service.
use std::{
    fs::Metadata,
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::getxattr;

/// What is wanted of a file, as a digit of its mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    Read = 0o4,
    /// Running a program, or going through a folder.
    Enter = 0o1,
}

/// A user of this machine.
#[derive(Debug)]
pub(super) struct Person {
    user: u32,
    groups: Vec<u32>,
}

/// What keeps a user from a file: the file itself, or a folder on the way.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Barrier {
    pub(super) path: PathBuf,
    /// Its mode, without the type.
    pub(super) mode: u32,
}

impl Person {
    /// Looks a name up in the texts of /etc/passwd and /etc/group.
    pub(super) fn named(name: &str, users: &str, groups: &str) -> Option<Self> {
        let mut lines = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let (user, own) = lines.find_map(|fields| match fields.as_slice() {
            [found, _, user, group, ..] if *found == name => Some((user.parse().ok()?, group.parse().ok()?)),
            _ => None,
        })?;
        let lines = groups.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let further = lines.filter_map(|fields| match fields.as_slice() {
            [_, _, group, members] if members.split(',').any(|member| member == name) => group.parse().ok(),
            _ => None,
        });
        Some(Self { user, groups: std::iter::once(own).chain(further).collect() })
    }

    /// The first thing that keeps this user from a file, from the top down; nothing is asked of root's powers, which a service has none of.
    ///
    /// # Errors
    /// We cannot look there ourselves.
    pub(super) fn barrier(&self, file: &Path, right: Right) -> io::Result<Option<Barrier>> {
        self.barrier_below(Path::new("/"), file, right)
    }

    /// The same, from this folder down.
    fn barrier_below(&self, top: &Path, file: &Path, right: Right) -> io::Result<Option<Barrier>> {
        let real = file.canonicalize()?;
        // A link stands in folders, too.
        let folders = |path: &Path| path.ancestors().skip(1).map(Path::to_owned).collect::<Vec<_>>().into_iter().rev();
        let way = folders(file).chain(folders(&real)).filter(|folder| folder.starts_with(top)).map(|folder| (folder, Right::Enter));
        for (path, right) in way.chain([(real.clone(), right)]) {
            let found = std::fs::metadata(&path)?;
            if !self.may(right, &found) && !has_list(&path) {
                return Ok(Some(Barrier { path, mode: found.mode() & 0o7777 }));
            }
        }
        Ok(None)
    }

    /// The first class that fits counts, even where a later one may more.
    fn may(&self, right: Right, found: &Metadata) -> bool {
        let class = match () {
            () if found.uid() == self.user => 6,
            () if self.groups.contains(&found.gid()) => 3,
            () => 0,
        };
        (found.mode() >> class) & right as u32 != 0
    }
}

/// Whether an access list says more than the mode does; what it says is not read.
fn has_list(path: &Path) -> bool {
    getxattr(path, "system.posix_acl_access", &mut [0_u8; 0]).is_ok_and(|length| length > 0)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    const USERS: &str = "root:x:0:0::/root:/bin/sh\nken:x:4000000:4000001::/home/ken:/bin/sh\n";

    /// A folder by its real name. Who may go through those above it is the machine's affair.
    fn folder() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().canonicalize().unwrap();
        (folder, top)
    }

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_user_is_found_with_all_groups() {
        let person = Person::named("ken", USERS, "shop:x:50:ann,ken\nother:x:51:kenneth\n").unwrap();
        assert_eq!((person.user, &*person.groups), (4_000_000, [4_000_001, 50].as_slice()));
        assert!(Person::named("ann", USERS, "").is_none());
    }

    #[test]
    fn the_first_closed_door_is_named() {
        let (_kept, top) = folder();
        let (folder, file) = (top.join("shop"), top.join("shop/tasks.yaml"));
        fs::create_dir(&folder).unwrap();
        fs::write(&file, "tasks: {}\n").unwrap();
        let ken = Person::named("ken", USERS, "").unwrap();
        let barrier = |right| ken.barrier_below(&top, &file, right).unwrap().map(|barrier| (barrier.path, barrier.mode));
        mode(&top, 0o755);
        mode(&folder, 0o711);
        mode(&file, 0o644);
        assert_eq!(barrier(Right::Read), None, "a folder need not be read to go through it");
        assert_eq!(barrier(Right::Enter), Some((file.clone(), 0o644)), "it is no program");
        mode(&file, 0o640);
        assert_eq!(barrier(Right::Read), Some((file.clone(), 0o640)));
        mode(&folder, 0o700);
        assert_eq!(barrier(Right::Read), Some((folder.clone(), 0o700)), "the outer door comes first");
        let group = fs::metadata(&file).unwrap().gid();
        let member = Person { user: 4_000_000, groups: vec![group] };
        mode(&folder, 0o750);
        assert_eq!(member.barrier_below(&top, &file, Right::Read).unwrap(), None, "by its group");
        mode(&file, 0o604);
        assert_eq!(
            member.barrier_below(&top, &file, Right::Read).unwrap().map(|barrier| barrier.mode),
            Some(0o604),
            "the group's digit counts, not the others'"
        );
    }

    #[test]
    fn a_link_is_followed_and_its_own_way_counts() {
        let (_kept, top) = folder();
        mode(&top, 0o755);
        let (open, closed) = (top.join("open"), top.join("closed"));
        fs::create_dir(&open).unwrap();
        fs::create_dir(&closed).unwrap();
        fs::write(open.join("tasks.yaml"), "").unwrap();
        std::os::unix::fs::symlink(open.join("tasks.yaml"), closed.join("link")).unwrap();
        let ken = Person::named("ken", USERS, "").unwrap();
        mode(&open, 0o755);
        mode(&closed, 0o755);
        mode(&open.join("tasks.yaml"), 0o644);
        assert_eq!(ken.barrier_below(&top, &closed.join("link"), Right::Read).unwrap(), None);
        mode(&closed, 0o700);
        assert_eq!(ken.barrier_below(&top, &closed.join("link"), Right::Read).unwrap().map(|barrier| barrier.path), Some(closed));
    }
}
