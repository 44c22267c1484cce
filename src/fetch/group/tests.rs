use std::{cell::Cell, fs, io::Cursor as IoCursor, time::Duration};

use image::{DynamicImage, ImageFormat};

use super::*;

thread_local! {
    /// What the next syncs of a folder on this thread find, and whether they fail.
    static SYNCS: Cell<usize> = const { Cell::new(0) };
}

fn picture(width: u32) -> Vec<u8> {
    let mut bytes = IoCursor::new(Vec::new());
    DynamicImage::new_rgb8(width, 10).write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn order(bytes: Vec<u8>, stem: &str) -> (Order, oneshot::Receiver<Published>) {
    let (reply, answer) = oneshot::channel();
    let hash = blake3::hash(&bytes);
    let content = Content::Memory(bytes);
    (Order { content, stem: stem.to_owned(), hash, reply }, answer)
}

fn publisher(root: &Path, sync: fn(&Path) -> io::Result<()>) -> Publisher {
    let folders = Arc::new(Folders::below(root.to_owned()));
    Publisher::with_sync(folders, 10_000, 64 << 20, sync)
}

/// Publishes all at once, as one group, on a thread that may block.
async fn publish(publisher: &Publisher, orders: Vec<Order>) -> usize {
    let shared = publisher.shared.clone();
    let work = move || {
        SYNCS.set(0);
        shared.publish(orders);
        SYNCS.get()
    };
    spawn_blocking(work).await.unwrap()
}

/// Every file that is to be there has its name when the folder is synced, and nobody has
/// been answered yet.
#[tokio::test]
async fn a_group_shares_one_sync_of_its_folder_that_begins_after_the_last_name() {
    let dir = tempfile::tempdir().unwrap();
    let publisher = publisher(dir.path(), |folder| {
        SYNCS.set(SYNCS.get() + 1);
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.retain(|name| !name.starts_with(".restore-batch-"));
        names.sort();
        assert_eq!(names, ["1.png", "2.png", "3.png"]);
        Ok(())
    });
    let (orders, answers): (Vec<_>, Vec<_>) =
        (1..=3).map(|number| order(picture(number), &format!("a/{number}"))).unzip();
    assert_eq!(publish(&publisher, orders).await, 1);
    for (number, answer) in (1..=3).zip(answers) {
        let (path, picture) = answer.await.unwrap().unwrap();
        assert_eq!((path, picture.width), (format!("a/{number}.png"), number));
    }
}

#[tokio::test]
async fn nobody_is_answered_before_the_sync_has_ended() {
    use std::sync::OnceLock;
    static ANSWER: OnceLock<Mutex<oneshot::Receiver<Published>>> = OnceLock::new();
    let dir = tempfile::tempdir().unwrap();
    let publisher = publisher(dir.path(), |_| {
        let mut answer = ANSWER.get().unwrap().lock().unwrap();
        assert!(answer.try_recv().is_err(), "answered before its name is durable");
        Ok(())
    });
    let (order, answer) = order(picture(1), "a");
    ANSWER.set(Mutex::new(answer)).unwrap();
    publish(&publisher, vec![order]).await;
    let answer = ANSWER.get().unwrap().lock().unwrap().try_recv().unwrap();
    assert_eq!(answer.unwrap().0, "a.png");
}

#[tokio::test]
async fn a_sync_that_fails_fails_all_of_its_folder_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let publisher = publisher(dir.path(), |folder| {
        SYNCS.set(SYNCS.get() + 1);
        if folder.ends_with("bad") { Err(io::Error::other("the disk is gone")) } else { Ok(()) }
    });
    let (orders, answers): (Vec<_>, Vec<_>) =
        ["bad/1", "good/2", "bad/3", "4"].map(|stem| order(picture(1), stem)).into_iter().unzip();
    assert_eq!(publish(&publisher, orders).await, 3);
    let mut told = Vec::new();
    for answer in answers {
        told.push(match answer.await.unwrap() {
            Ok((path, _)) => path,
            Err(Refused::Folder(error)) => error.to_string().split_once(": ").unwrap().1.to_owned(),
            Err(Refused::Picture(rejection)) => panic!("{rejection}"),
        });
    }
    assert_eq!(told, ["the disk is gone", "good/2.png", "the disk is gone", "4.png"]);
}

#[tokio::test]
async fn one_that_is_no_picture_hinders_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let publisher = publisher(dir.path(), sync_folder);
    let (orders, mut answers): (Vec<_>, Vec<_>) = [
        order(picture(1), "a"),
        order(b"<html>".to_vec(), "b"),
        order(picture(2), "../c"),
        order(picture(3), "a"),
    ]
    .into_iter()
    .unzip();
    publish(&publisher, orders).await;
    let mut next = || answers.remove(0).try_recv().unwrap();
    assert_eq!(next().unwrap().0, "a.png");
    assert!(matches!(next(), Err(Refused::Picture(Rejection::NotAPicture(_)))));
    assert!(matches!(next(), Err(Refused::Folder(error)) if error.is_about_the_name()));
    assert_eq!(next().unwrap().0, "a~2.png");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[tokio::test]
async fn one_whose_caller_has_gone_away_is_not_begun() {
    let dir = tempfile::tempdir().unwrap();
    let publisher = publisher(dir.path(), sync_folder);
    let (gone, answer) = order(picture(1), "gone");
    drop(answer);
    let (stays, answer) = order(picture(1), "stays");
    publish(&publisher, vec![gone, stays]).await;
    assert_eq!(answer.await.unwrap().unwrap().0, "stays.png");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_large_picture_is_a_group_of_its_own_and_workers_end_when_nothing_waits() {
    let dir = tempfile::tempdir().unwrap();
    let shared = publisher(dir.path(), sync_folder).shared;
    let large = usize::try_from(MOST_BYTES).unwrap();
    for bytes in [1, 2, large - 3, 1, large + 1, 1] {
        let (order, _) = order(vec![0; bytes], "x");
        shared.enter(order);
    }
    for _ in 0..MOST_PICTURES {
        let (order, _) = order(vec![0], "x");
        shared.enter(order);
    }
    let workers = shared.queue().workers;
    assert_eq!(workers, WORKERS);
    let sizes: Vec<_> =
        std::iter::from_fn(|| shared.next_group()).map(|group| group.len()).collect();
    assert_eq!(sizes, [3, 1, 1, MOST_PICTURES, 1]);
    assert_eq!(shared.queue().workers, workers - 1);
}

#[tokio::test]
async fn a_panic_is_an_interruption_and_the_worker_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let publisher = publisher(dir.path(), |folder| {
        assert!(!folder.ends_with("odd"), "a bug");
        Ok(())
    });
    let publish = |stem| {
        let bytes = picture(1);
        let hash = blake3::hash(&bytes);
        let publisher = publisher.clone();
        async move { publisher.publish(Content::Memory(bytes), stem, hash).await }
    };
    assert!(publish("odd/a").await.is_none());
    assert_eq!(publish("b").await.unwrap().unwrap().0, "b.png");
}

/// As wide as the pixel limit allows: its rows would take more than all the memory.
#[tokio::test]
async fn a_picture_whose_rows_take_all_the_memory_holds_up_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let folders = Arc::new(Folders::below(dir.path().to_owned()));
    let publisher = Publisher::with_sync(folders, 100_000, 1 << 20, |_| Ok(()));
    let mut wide = IoCursor::new(Vec::new());
    DynamicImage::new_rgb8(100_000, 1).write_to(&mut wide, ImageFormat::Png).unwrap();
    let (orders, answers): (Vec<_>, Vec<_>) =
        [order(wide.into_inner(), "wide"), order(picture(1), "small")].into_iter().unzip();
    let publishing = tokio::time::timeout(Duration::from_mins(1), publish(&publisher, orders));
    assert_eq!(publishing.await.expect("it waits for memory there is not"), 0);
    for answer in answers {
        answer.await.unwrap().unwrap();
    }
}
