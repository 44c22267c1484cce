use super::*;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn publish(root: &Path, stem: &str, content: &str) -> Result<String, PublishError> {
    publish_in(&Folders::below(root.to_owned()), stem, content)
}

fn publish_in(folders: &Folders, stem: &str, content: &str) -> Result<String, PublishError> {
    let mut draft = Draft::open(folders, stem)?;
    draft.write(content.as_bytes())?;
    draft.start_writeback();
    draft.sync()?;
    Ok(draft.give_name("png", &blake3::hash(content.as_bytes()))?.path())
}

/// Every file below `root` with its content, in order.
fn files(root: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.push((name, fs::read_to_string(path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

fn pair(name: &str, content: &str) -> (String, String) {
    (name.to_owned(), content.to_owned())
}

#[test]
fn a_file_appears_under_its_name_with_its_folders() {
    let dir = folder();
    let root = dir.path().join("photos.restored/images");
    assert_eq!(publish(&root, "1923/summer/a", "A").unwrap(), "1923/summer/a.png");
    assert_eq!(publish(&root, "b", "B").unwrap(), "b.png");
    assert_eq!(files(&root), [pair("1923/summer/a.png", "A"), pair("b.png", "B")]);
}

#[cfg(unix)]
#[test]
fn others_may_read_it_as_far_as_the_umask_allows() {
    use std::os::unix::fs::PermissionsExt;
    let dir = folder();
    publish(dir.path(), "a", "A").unwrap();
    let plain = dir.path().join("plain");
    fs::write(&plain, "").unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
    assert_eq!(mode(&dir.path().join("a.png")), mode(&plain));
}

#[test]
fn the_same_content_is_ours_already_and_other_content_is_never_replaced() {
    let dir = folder();
    assert_eq!(publish(dir.path(), "a", "first").unwrap(), "a.png");
    assert_eq!(publish(dir.path(), "a", "first").unwrap(), "a.png");
    assert_eq!(publish(dir.path(), "a", "other").unwrap(), "a~2.png");
    assert_eq!(publish(dir.path(), "a", "third").unwrap(), "a~3.png");
    assert_eq!(publish(dir.path(), "a", "other").unwrap(), "a~2.png");
    assert_eq!(
        files(dir.path()),
        [pair("a.png", "first"), pair("a~2.png", "other"), pair("a~3.png", "third")]
    );
}

#[test]
fn a_draft_that_is_dropped_leaves_nothing() {
    let dir = folder();
    let draft = Draft::open(&Folders::below(dir.path().to_owned()), "a").unwrap();
    assert_eq!(files(dir.path()).len(), 1);
    drop(draft);
    assert_eq!(files(dir.path()), []);
}

#[test]
fn a_folder_that_someone_removes_is_made_again() {
    let dir = folder();
    let folders = Folders::below(dir.path().join("images"));
    assert_eq!(publish_in(&folders, "1923/a", "A").unwrap(), "1923/a.png");
    fs::remove_dir_all(dir.path().join("images")).unwrap();
    assert_eq!(publish_in(&folders, "1923/b", "B").unwrap(), "1923/b.png");
    assert_eq!(files(dir.path()), [pair("images/1923/b.png", "B")]);
}

#[test]
fn unsafe_stems_are_refused_before_anything_is_created() {
    let dir = folder();
    let root = dir.path().join("images");
    for stem in [
        "",
        "/etc/passwd",
        "../a",
        "a/../../b",
        "a//b",
        "a/",
        ".",
        "./a",
        "a\\b",
        "a\0b",
        "a\nb",
        ".restore-batch-x",
        "a/.restore-batch-x/b",
    ] {
        let error = publish(&root, stem, "x").unwrap_err();
        assert!(error.is_about_the_name(), "{stem:?}: {error}");
    }
    assert!(!root.exists());
}

#[cfg(unix)]
#[test]
fn a_symbolic_link_out_of_the_folder_is_not_followed() {
    let (dir, elsewhere) = (folder(), folder());
    let link = |name: &str, to: &Path| std::os::unix::fs::symlink(to, dir.path().join(name));
    link("out", elsewhere.path()).unwrap();
    let error = publish(dir.path(), "out/new/a", "x").unwrap_err();
    assert!(error.is_about_the_name(), "{error}");
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);

    fs::create_dir(dir.path().join("real")).unwrap();
    link("in", &dir.path().join("real")).unwrap();
    publish(dir.path(), "in/a", "x").unwrap();
    assert!(dir.path().join("real/a.png").is_file());
}

#[cfg(unix)]
#[test]
fn a_symbolic_link_in_the_place_of_the_file_is_left_alone() {
    let (dir, elsewhere) = (folder(), folder());
    let victim = elsewhere.path().join("victim");
    fs::write(&victim, "same").unwrap();
    std::os::unix::fs::symlink(&victim, dir.path().join("a.png")).unwrap();
    std::os::unix::fs::symlink("/nowhere", dir.path().join("b.png")).unwrap();
    assert_eq!(publish(dir.path(), "a", "same").unwrap(), "a~2.png");
    assert_eq!(publish(dir.path(), "b", "x").unwrap(), "b~2.png");
    assert_eq!(fs::read_to_string(victim).unwrap(), "same");
}

#[test]
fn a_folder_in_the_place_of_the_file_is_stepped_around() {
    let dir = folder();
    fs::create_dir(dir.path().join("a.png")).unwrap();
    assert_eq!(publish(dir.path(), "a", "x").unwrap(), "a~2.png");
}

#[test]
fn a_file_in_the_place_of_a_folder_is_the_folder_s_fault() {
    let dir = folder();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    for (root, stem) in
        [(file.clone(), "a"), (file.join("images"), "a"), (dir.path().to_owned(), "file/a")]
    {
        let error = publish(&root, stem, "x").unwrap_err();
        assert!(!error.is_about_the_name(), "{error}");
    }
}

#[test]
fn a_name_that_is_too_long_is_only_its_own_fault() {
    let dir = folder();
    let error = publish(dir.path(), &"n".repeat(300), "x").unwrap_err();
    assert!(error.is_about_the_name(), "{error}");
    assert_eq!(files(dir.path()), []);
}

#[test]
fn sweeping_removes_our_leftovers_and_nothing_else() {
    let dir = folder();
    let inner = dir.path().join("a/b");
    fs::create_dir_all(&inner).unwrap();
    for leftover in
        [dir.path().join(".restore-batch-x1.part"), inner.join(".restore-batch-x2.part")]
    {
        fs::write(leftover, "").unwrap();
    }
    for kept in ["a.png", ".restore-batch", ".restore-batch-note.txt", "x.part"] {
        fs::write(inner.join(kept), "").unwrap();
    }
    fs::create_dir(dir.path().join(".restore-batch-folder.part")).unwrap();
    assert_eq!(sweep_leftovers(dir.path()).unwrap(), 2);
    assert_eq!(fs::read_dir(&inner).unwrap().count(), 4);
    assert!(dir.path().join(".restore-batch-folder.part").is_dir());
    assert_eq!(sweep_leftovers(dir.path()).unwrap(), 0);
    assert_eq!(sweep_leftovers(&dir.path().join("missing")).unwrap(), 0);
}

#[cfg(unix)]
#[test]
fn sweeping_does_not_leave_the_folder() {
    let (dir, elsewhere) = (folder(), folder());
    let outside = elsewhere.path().join(".restore-batch-x.part");
    fs::write(&outside, "").unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), dir.path().join("link")).unwrap();
    std::os::unix::fs::symlink(&outside, dir.path().join(".restore-batch-y.part")).unwrap();
    assert_eq!(sweep_leftovers(dir.path()).unwrap(), 0);
    assert!(outside.is_file());
}

#[cfg(unix)]
#[test]
fn a_link_that_takes_the_place_of_a_folder_later_is_not_followed_either() {
    let (dir, elsewhere) = (folder(), folder());
    let folders = Folders::below(dir.path().to_owned());
    drop(Draft::open(&folders, "a/x").unwrap());
    fs::remove_dir(dir.path().join("a")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), dir.path().join("a")).unwrap();
    let error = Draft::open(&folders, "a/y").map(|draft| draft.folder.path.clone()).unwrap_err();
    assert!(error.is_about_the_name(), "{error}");
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}
