//! Folders go with all that is in them, and nothing else does, whoever swaps what for a link meanwhile.
use std::{
    fs,
    os::unix::{ffi::OsStrExt as _, fs::symlink},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use taskrun::files::{Limit, Root, Swept};

/// No limit, or one of so many files.
#[derive(Default)]
struct Count {
    most: Option<u64>,
    gone: AtomicU64,
}

impl Limit for Count {
    fn is_over(&self) -> bool {
        self.most.is_some_and(|most| most <= self.gone.load(Ordering::Relaxed))
    }

    fn count(&self) {
        self.gone.fetch_add(1, Ordering::Relaxed);
    }
}

/// A root `images` in a folder, and a canary beside it.
struct Scene {
    folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let scene = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir_all(scene.path("images")).unwrap();
        fs::create_dir_all(scene.path("outside/deep")).unwrap();
        for name in ["outside/canary", "outside/deep/canary"] {
            fs::write(scene.path(name), "alive").unwrap();
        }
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn fill(&self, name: &str, files: usize) {
        fs::create_dir_all(self.path(name)).unwrap();
        for n in 0..files {
            fs::write(self.path(name).join(format!("{n}.jpg")), "x").unwrap();
        }
    }

    fn root(&self) -> Root {
        Root::open(&self.path("images")).unwrap()
    }

    #[track_caller]
    fn canaries_live(&self) {
        for name in ["outside/canary", "outside/deep/canary"] {
            assert_eq!(fs::read_to_string(self.path(name)).unwrap(), "alive");
        }
    }
}

#[test]
fn a_folder_goes_with_everything_in_it_and_links_lead_nowhere() {
    let scene = Scene::new();
    scene.fill("images/a/deep/deeper", 1500);
    scene.fill("images/other", 2);
    let odd = scene.path("images/a").join(std::ffi::OsStr::from_bytes(b"\xff\xfe odd\n"));
    fs::write(odd, "x").unwrap();
    fs::write(scene.path("images/a").join("n".repeat(255)), "x").unwrap();
    symlink(scene.path("outside"), scene.path("images/a/out")).unwrap();
    symlink(scene.path("outside/canary"), scene.path("images/a/deep/file")).unwrap();
    fs::hard_link(scene.path("outside/canary"), scene.path("images/a/hard")).unwrap();
    let count = Count::default();
    assert_eq!(scene.root().remove(Path::new("a"), &count).unwrap(), Swept::Gone);
    assert_eq!(scene.root().remove(Path::new("a"), &count).unwrap(), Swept::Gone, "once more is no error");
    assert!(!scene.path("images/a").exists() && scene.path("images/other/1.jpg").exists());
    scene.canaries_live();
}

#[test]
fn what_lies_outside_or_is_a_link_is_refused() {
    let scene = Scene::new();
    symlink(scene.path("outside"), scene.path("images/link")).unwrap();
    fs::write(scene.path("images/file"), "x").unwrap();
    let root = scene.root();
    let out = scene.path("outside");
    for bad in ["../outside", "link", "link/deep", "", ".", "a/../../outside", "file", out.to_str().unwrap()] {
        let refused = root.remove(Path::new(bad), &Count::default());
        assert!(refused.is_err_and(|error| error.needs_a_person()), "{bad}");
    }
    scene.canaries_live();
    assert!(scene.path("images/link").exists() && scene.path("images/file").exists());
    for high in ["/", "/usr", "/tmp", "/home/somebody/.."] {
        assert!(Root::open(Path::new(high)).is_err(), "{high}");
    }
}

#[test]
fn a_limit_stops_it_and_the_next_goes_on() {
    let scene = Scene::new();
    scene.fill("images/a", 30);
    let root = scene.root();
    assert_eq!(root.remove(Path::new("a"), &Count { most: Some(10), ..Count::default() }).unwrap(), Swept::Stopped);
    assert_eq!(fs::read_dir(scene.path("images/a")).unwrap().count(), 20);
    assert_eq!(root.remove(Path::new("a"), &Count::default()).unwrap(), Swept::Gone);
}

#[test]
fn folders_too_deep_in_each_other_are_left_to_a_person() {
    let scene = Scene::new();
    scene.fill(&format!("images/a{}", "/b".repeat(60)), 1);
    assert!(scene.root().remove(Path::new("a"), &Count::default()).is_err());
}

/// The attack: while folders are removed, somebody swaps each of them for a link to what must live, as fast as they can.
#[test]
fn an_attacker_with_links_gets_nothing_outside_removed() {
    let (folders, files, swaps) = if std::env::var_os("STRESS").is_some() { (100, 100, 100_000) } else { (25, 40, 1_500) };
    let scene = Scene::new();
    let names: Vec<_> = (0..folders).map(|n| format!("item{n}")).collect();
    for name in &names {
        scene.fill(&format!("images/{name}/inner"), files);
        scene.fill(&format!("images/{name}"), 1);
    }
    let root = scene.root();
    let over = Arc::new(AtomicBool::new(false));
    let attacker = std::thread::spawn({
        let (over, images, outside, names) = (Arc::clone(&over), scene.path("images"), scene.path("outside"), names.clone());
        move || {
            let mut swapped = 0_u64;
            let mut tried = 0_usize;
            while swapped < swaps && !(over.load(Ordering::Relaxed) && tried > 200 * usize::try_from(swaps).unwrap()) {
                let name = &names[tried % names.len()];
                tried += 1;
                // The outer one and the inner one in turns.
                let target = if tried.is_multiple_of(2) { images.join(name) } else { images.join(name).join("inner") };
                let aside = images.join(format!("{name}.aside"));
                if fs::rename(&target, &aside).is_ok() {
                    let lead = if tried.is_multiple_of(3) { outside.join("deep") } else { outside.clone() };
                    if symlink(&lead, &target).is_ok() {
                        std::thread::yield_now();
                        fs::remove_file(&target).unwrap_or_default();
                    }
                    fs::rename(&aside, &target).unwrap_or_default();
                    swapped += 1;
                } else if over.load(Ordering::Relaxed) {
                    // All is gone: something to swap again.
                    fs::create_dir_all(images.join(name).join("inner")).unwrap_or_default();
                }
            }
            swapped
        }
    });
    let count = Count::default();
    // Whoever loses a race tries again; the attack ends before the removal does.
    while !attacker.is_finished() {
        for name in &names {
            root.remove(Path::new(name), &count).map_or_else(|_| (), |_| ());
        }
        over.store(true, Ordering::Relaxed);
    }
    let swapped = attacker.join().unwrap();
    scene.canaries_live();
    for (name, _) in root.folders().unwrap() {
        assert_eq!(root.remove(Path::new(&name), &count).unwrap(), Swept::Gone, "nobody disturbs any more");
    }
    scene.canaries_live();
    println!("{swapped} swaps, {} files and folders removed", count.gone.load(Ordering::Relaxed));
    assert!(swapped >= swaps / 2, "only {swapped} swaps: no attack");
}
