//! What the ledger's writer does with each command; how it batches and commits them is in
//! `sqlite`.
//!
//! A refused command (stale fence, illegal event) fails alone. When the database
//! fails, the head is read anew before the next command.

use std::collections::VecDeque;

use jiff::Timestamp;
use sqlx::SqliteConnection;
use tokio::sync::watch;

use super::{
    contract::{LedgerError, LedgerResult},
    counts,
    head::Head,
    import_rows,
    names::Names,
    record::{EditionHeader, Imported, NewRow, Totals},
    statements,
    steps::{self, InHand, Step},
};
use crate::{
    core::{Edition, Endpoint, Fence, Item},
    sqlite::{self, Book, answer},
};

pub(super) type Reply<T> = sqlite::Reply<T, LedgerError>;

type Answers = sqlite::Answers<LedgerError>;

/// One write, with where to answer it.
#[derive(Debug)]
pub(super) enum Command {
    BeginSession(Reply<Fence>),
    BindService(Fence, String, Reply<()>),
    Pause(Fence, Endpoint, Timestamp, Reply<()>),
    BeginEdition(Fence, EditionHeader, Reply<Edition>),
    Import(Fence, Edition, Vec<NewRow>, Reply<Imported>),
    FinishEdition(Fence, Edition, String, Reply<()>),
    Tidy(Fence, Reply<bool>),
    Advance(Step, Reply<Item>),
}

impl Command {
    /// Answers with an error.
    fn refuse(self, error: LedgerError) {
        match self {
            Self::BeginSession(reply) => answer(reply, Err(error)),
            Self::BindService(.., reply)
            | Self::Pause(.., reply)
            | Self::FinishEdition(.., reply) => answer(reply, Err(error)),
            Self::BeginEdition(.., reply) => answer(reply, Err(error)),
            Self::Import(.., reply) => answer(reply, Err(error)),
            Self::Tidy(.., reply) => answer(reply, Err(error)),
            Self::Advance(.., reply) => answer(reply, Err(error)),
        }
    }
}

/// What the writer knows of the job.
pub(super) struct JobBook {
    /// `None` after a failure: what the tables say is not known then.
    head: Option<Head>,
    /// The names of items and stems; `None` before they are wanted, and after a failure.
    names: Option<Names>,
    in_hand: InHand,
    /// The last settlement number and the totals when the transaction began.
    begun: (i64, Totals),
    totals: watch::Sender<Totals>,
}

impl JobBook {
    pub(super) fn new(head: Head) -> (Self, watch::Receiver<Totals>) {
        let (totals, watched) = watch::channel(head.totals);
        let (begun, in_hand) = (numbers(&head), InHand::default());
        (Self { begun, head: Some(head), names: None, in_hand, totals }, watched)
    }
}

impl Book for JobBook {
    type Command = Command;
    type Error = LedgerError;

    async fn begin(&mut self, connection: &mut SqliteConnection) -> LedgerResult<()> {
        let fence = statements::load_fence(connection).await?;
        let head = if let Some(head) = self.head.take().filter(|head| head.fence == fence) {
            head
        } else {
            // Nothing is known, or another process has written.
            self.in_hand.forget();
            self.names = None;
            counts::load_head(connection).await?
        };
        self.begun = numbers(&head);
        self.head = Some(head);
        Ok(())
    }

    async fn apply(
        &mut self,
        connection: &mut SqliteConnection,
        command: Command,
        batch: &mut VecDeque<Command>,
        answers: &mut Answers,
    ) -> LedgerResult<()> {
        let head = self.head.as_mut().expect("`begin` has read it");
        if !matches!(command, Command::Advance(..)) {
            // It may change any item.
            self.in_hand.forget();
        }
        let known = (&mut self.names, &mut self.in_hand);
        apply(connection, head, known, command, batch, answers).await
    }

    async fn end(&mut self, connection: &mut SqliteConnection) -> LedgerResult<()> {
        match &self.head {
            Some(head) if numbers(head) != self.begun => counts::save(connection, head).await,
            _ => Ok(()),
        }
    }

    fn settled(&mut self, durable: bool) {
        match &self.head {
            Some(head) if durable => drop(self.totals.send_replace(head.totals)),
            _ => {
                (self.head, self.names) = (None, None);
                self.in_hand.forget();
            }
        }
    }

    fn refuse(command: Command, error: LedgerError) {
        command.refuse(error);
    }
}

/// What the job's row keeps of a head.
fn numbers(head: &Head) -> (i64, Totals) {
    (head.last_settlement, head.totals)
}

/// Applies one command, and with an advance all advances that follow it.
async fn apply(
    connection: &mut SqliteConnection,
    head: &mut Head,
    (names, in_hand): (&mut Option<Names>, &mut InHand),
    command: Command,
    batch: &mut VecDeque<Command>,
    answers: &mut Answers,
) -> LedgerResult<()> {
    match command {
        Command::BeginSession(reply) => {
            // Another session may have added some.
            *names = None;
            let fence = statements::begin_session(connection, head).await;
            answers.keep(reply, fence)
        }
        Command::BindService(fence, service, reply) => {
            let result = match head.check_fence(fence) {
                Ok(()) => statements::bind_service(connection, &service).await,
                refused => refused,
            };
            answers.keep(reply, result)
        }
        Command::Pause(fence, endpoint, until, reply) => {
            let result = match head.check_fence(fence) {
                Ok(()) => statements::pause(connection, endpoint, until).await,
                refused => refused,
            };
            answers.keep(reply, result)
        }
        Command::BeginEdition(fence, header, reply) => {
            let result = match head.check_fence(fence) {
                Ok(()) => begin_edition(connection, head, names, &header).await,
                Err(refused) => Err(refused),
            };
            answers.keep(reply, result)
        }
        Command::Import(fence, edition, rows, reply) => {
            let result = match head.check_import(fence, edition) {
                Ok(()) => import(connection, head, names, rows).await,
                Err(refused) => Err(refused),
            };
            answers.keep(reply, result)
        }
        Command::FinishEdition(fence, edition, content, reply) => {
            let result = match head.check_import(fence, edition) {
                Ok(()) => finish_edition(connection, head, names, &content).await,
                refused => refused,
            };
            answers.keep(reply, result)
        }
        Command::Tidy(fence, reply) => {
            let result = match head.check_fence(fence) {
                Ok(()) => tidy(connection, head, names).await,
                Err(refused) => Err(refused),
            };
            answers.keep(reply, result)
        }
        Command::Advance(step, reply) => {
            advance(connection, head, in_hand, (step, reply), batch, answers).await
        }
    }
}

/// Returns the names, read from the tables if they are not known.
async fn known_names<'n>(
    connection: &mut SqliteConnection,
    names: &'n mut Option<Names>,
) -> LedgerResult<&'n mut Names> {
    if names.is_none() {
        *names = Some(Names::load(connection).await?);
    }
    Ok(names.as_mut().expect("they were just read"))
}

async fn begin_edition(
    connection: &mut SqliteConnection,
    head: &mut Head,
    names: &mut Option<Names>,
    header: &EditionHeader,
) -> LedgerResult<Edition> {
    known_names(connection, names).await?.begin_edition();
    statements::begin_edition(connection, head, header).await
}

async fn import(
    connection: &mut SqliteConnection,
    head: &mut Head,
    names: &mut Option<Names>,
    rows: Vec<NewRow>,
) -> LedgerResult<Imported> {
    let names = known_names(connection, names).await?;
    let imported = import_rows::import(connection, head, names, rows).await?;
    names.tidy(connection).await?;
    Ok(imported)
}

async fn finish_edition(
    connection: &mut SqliteConnection,
    head: &mut Head,
    names: &mut Option<Names>,
    content: &str,
) -> LedgerResult<()> {
    known_names(connection, names).await?.end_edition();
    statements::finish_edition(connection, head, content).await
}

/// Does a piece of the work that nobody waits for; false when there is none.
async fn tidy(
    connection: &mut SqliteConnection,
    head: &Head,
    names: &mut Option<Names>,
) -> LedgerResult<bool> {
    if known_names(connection, names).await?.tidy(connection).await? {
        return Ok(true);
    }
    statements::drop_old_rows(connection, head).await
}

async fn advance(
    connection: &mut SqliteConnection,
    head: &mut Head,
    in_hand: &mut InHand,
    first: (Step, Reply<Item>),
    batch: &mut VecDeque<Command>,
    answers: &mut Answers,
) -> LedgerResult<()> {
    let (mut waiting, mut replies) = (vec![first.0], vec![first.1]);
    while let Some(Command::Advance(..)) = batch.front() {
        if let Some(Command::Advance(step, reply)) = batch.pop_front() {
            waiting.push(step);
            replies.push(reply);
        }
    }
    let results = match steps::advance(connection, head, in_hand, waiting).await {
        Ok(results) => results,
        Err(error) => replies.iter().map(|_| Err(error.clone())).collect(),
    };
    let kept: Vec<_> = replies
        .into_iter()
        .zip(results)
        .map(|(reply, result)| answers.keep(reply, result))
        .collect();
    kept.into_iter().collect()
}
