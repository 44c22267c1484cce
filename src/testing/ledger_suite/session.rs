//! The job as a whole: sessions, and what is remembered of it.

use super::samples::{Job, at, header, intent, kept_at, offered, rows, start};
use crate::{
    core::{Endpoint, Fence, ItemId, ItemState},
    ledger::{Audit, JobRecord, Ledger, LedgerError, LedgerResult, Pauses, RowFilter, Totals},
};

/// Nothing is known, and nothing fails, before the first session.
pub async fn a_new_ledger_knows_nothing(ledger: &dyn Ledger) -> LedgerResult<()> {
    let job = ledger.job().await?;
    let nothing = JobRecord {
        finished: None,
        begun: None,
        header: None,
        service: None,
        callback_secret: job.callback_secret,
        paused: Pauses::default(),
    };
    assert_eq!(ledger.job().await?, nothing);
    assert_eq!(ledger.totals().await?, Totals::default());
    assert_eq!(ledger.audit().await?, Audit::default());
    assert!(offered(ledger, &ItemState::ALL).await?.is_empty());
    assert_eq!(ledger.rows(RowFilter::All, 0, 10).await?, []);
    assert_eq!(ledger.settled_rows(0, 10).await?, []);
    assert_eq!(ledger.item(ItemId(1)).await, Err(LedgerError::UnknownItem(ItemId(1))));
    Ok(())
}

/// After a new session every write of an older one is refused and changes nothing.
pub async fn a_session_shuts_out_older_ones(ledger: &dyn Ledger) -> LedgerResult<()> {
    let old = start(ledger, rows(&["a"])).await?;
    let reading = ledger.begin_edition(old.fence, header()).await?;
    let new = ledger.begin_session().await?;
    assert!(new > old.fence);
    let before = (ledger.job().await?, ledger.item(ItemId(1)).await?, ledger.totals().await?);

    for fence in [old.fence, Fence(new.0 + 1)] {
        let stale = || Err(LedgerError::StaleFence);
        assert_eq!(ledger.bind_service(fence, "x".to_owned()).await, stale());
        assert_eq!(ledger.pause(fence, Endpoint::Submit, at(9)).await, stale());
        assert_eq!(ledger.begin_edition(fence, header()).await.map(drop), stale());
        assert_eq!(ledger.import(fence, reading, rows(&["b"])).await.map(drop), stale());
        assert_eq!(ledger.finish_edition(fence, reading, String::new()).await, stale());
        let job = Job { ledger, fence, edition: reading };
        assert_eq!(job.advance(1, intent()).await.map(drop), stale());
    }
    let after = (ledger.job().await?, ledger.item(ItemId(1)).await?, ledger.totals().await?);
    assert_eq!(before, after);
    Ok(())
}

/// What is known of the job as a whole follows what was said of it.
pub async fn service_and_header_are_remembered(ledger: &dyn Ledger) -> LedgerResult<()> {
    let mut job = start(ledger, vec![]).await?;
    ledger.bind_service(job.fence, "https://a.example".to_owned()).await?;
    ledger.bind_service(job.fence, "https://b.example".to_owned()).await?;
    job.read(rows(&["a"])).await?;
    let mut next = header();
    next.columns.push("ü,\"".to_owned());
    let callback_secret = ledger.job().await?.callback_secret;
    let unfinished = ledger.begin_edition(job.fence, next.clone()).await?;
    assert!(unfinished > job.edition);
    assert_eq!(
        ledger.job().await?,
        JobRecord {
            finished: Some((job.edition, "content".to_owned())),
            begun: Some(unfinished),
            header: Some(next),
            service: Some("https://b.example".to_owned()),
            callback_secret,
            paused: Pauses::default(),
        }
    );
    Ok(())
}

/// Each endpoint has its own pause, of which an earlier end changes nothing.
pub async fn the_longest_pause_is_remembered(ledger: &dyn Ledger) -> LedgerResult<()> {
    let fence = ledger.begin_session().await?;
    let paused = async || Ok::<_, LedgerError>(ledger.job().await?.paused);
    ledger.pause(fence, Endpoint::Submit, at(30)).await?;
    ledger.pause(fence, Endpoint::Submit, at(10)).await?;
    let submit = Some(kept_at(30));
    assert_eq!(paused().await?, Pauses { submit, poll: None });
    ledger.pause(fence, Endpoint::Poll, at(20)).await?;
    ledger.pause(fence, Endpoint::Fetch, at(90)).await?;
    assert_eq!(paused().await?, Pauses { submit, poll: Some(kept_at(20)) });
    ledger.pause(fence, Endpoint::Submit, at(40)).await?;
    assert_eq!(paused().await?, Pauses { submit: Some(kept_at(40)), poll: Some(kept_at(20)) });
    Ok(())
}
