//! The way of an event: a bounded queue, one thread that sends, and a count of what became of each.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use sentry::{Envelope, protocol::Event, types::Dsn};

use crate::{
    catalogue::{DropReason, Signal},
    delivery::DeliveryStats,
};

/// The most events that wait, the one on its way among them. An outage fails each request alike: the first few say it
/// all, and each may hold a stack trace of some 50 KB.
pub const SENTRY_QUEUE_MAX: usize = 128;

/// For sending one event. One that does not arrive is given up: there will be more of its kind.
pub const SENTRY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long to wait when Sentry asks for a pause and does not say how long.
const PAUSE_DEFAULT: Duration = Duration::from_secs(60);

/// The longest pause that is believed.
const PAUSE_MAX: Duration = Duration::from_secs(600);

const CLIENT: &str = concat!("task-api-telemetry/", env!("CARGO_PKG_VERSION"));

enum Message {
    Event(Box<Event<'static>>),
    /// Answered once all before it is done.
    Flush(SyncSender<()>),
}

/// The queue and its thread, which ends when this is dropped.
pub(super) struct Transport {
    queue: Mutex<Option<SyncSender<Message>>>,
    stats: Arc<DeliveryStats>,
}

impl Transport {
    pub(super) fn start(dsn: &Dsn) -> io::Result<Self> {
        let stats = Arc::new(DeliveryStats::new(Signal::Error));
        // One place more than events may wait: a flush finds room however many there are.
        let (queue, messages) = sync_channel(SENTRY_QUEUE_MAX + 1);
        let sender = Sender {
            url: dsn.envelope_api_url().to_string(),
            auth: dsn.to_auth(Some(CLIENT)).to_string(),
            stats: Arc::clone(&stats),
            paused_until: None,
        };
        thread::Builder::new().name("sentry".to_owned()).spawn(move || sender.run(&messages))?;
        Ok(Self { queue: Mutex::new(Some(queue)), stats })
    }

    pub(super) fn stats(&self) -> &Arc<DeliveryStats> {
        &self.stats
    }

    /// Takes an event, which is made only where there is room for it. Never waits for the network.
    pub(super) fn send(&self, event: impl FnOnce() -> Event<'static>) {
        if !self.stats.admit(SENTRY_QUEUE_MAX as u64) {
            return;
        }
        let event = event();
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = queue.as_ref().map(|queue| queue.try_send(Message::Event(Box::new(event))));
        match sent {
            Some(Ok(())) => {}
            Some(Err(TrySendError::Full(_))) => self.stats.give_up(1, DropReason::QueueFull),
            Some(Err(TrySendError::Disconnected(_))) | None => self.stats.give_up(1, DropReason::Shutdown),
        }
    }

    /// Waits until what waits is sent, for at most `deadline`, and gives up the rest.
    pub(super) fn shutdown(&self, deadline: Duration) -> u64 {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(queue) = queue
            && self.stats.waiting() > 0
        {
            let (done, is_done) = sync_channel(1);
            if queue.try_send(Message::Flush(done)).is_ok() {
                let _ = is_done.recv_timeout(deadline);
            }
        }
        self.stats.give_up_waiting()
    }
}

/// What the thread owns.
struct Sender {
    url: String,
    auth: String,
    stats: Arc<DeliveryStats>,
    paused_until: Option<Instant>,
}

impl Sender {
    fn run(mut self, messages: &Receiver<Message>) {
        let client = reqwest::blocking::Client::builder()
            .timeout(SENTRY_TIMEOUT)
            .user_agent(CLIENT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build();
        while let Ok(message) = messages.recv() {
            match message {
                Message::Flush(done) => drop(done.try_send(())),
                Message::Event(event) => match &client {
                    Ok(client) => self.send(client, *event),
                    Err(error) => self.lose(DropReason::ExportFailed, &error.to_string()),
                },
            }
        }
    }

    fn send(&mut self, client: &reqwest::blocking::Client, event: Event<'static>) {
        if self.paused_until.is_some_and(|until| Instant::now() < until) {
            return self.stats.give_up(1, DropReason::RateLimited);
        }
        let mut body = Vec::new();
        if let Err(error) = Envelope::from(event).to_writer(&mut body) {
            return self.lose(DropReason::ExportFailed, &error.to_string());
        }
        let request = client
            .post(&self.url)
            .header("x-sentry-auth", &self.auth)
            .header("content-type", "application/x-sentry-envelope")
            .body(body);
        match request.send() {
            Ok(response) if response.status().is_success() => self.stats.deliver(1),
            Ok(response) if response.status() == 429 => {
                let asked = response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
                let pause = asked.map_or(PAUSE_DEFAULT, Duration::from_secs).min(PAUSE_MAX);
                self.paused_until = Some(Instant::now() + pause);
                self.lose(DropReason::RateLimited, "Sentry asks for a pause");
            }
            Ok(response) => self.lose(DropReason::ExportFailed, &format!("Sentry answered {}", response.status())),
            // The address holds the project, the error no more than that.
            Err(error) => self.lose(DropReason::ExportFailed, &error.without_url().to_string()),
        }
    }

    fn lose(&self, reason: DropReason, error: &str) {
        self.stats.give_up(1, reason);
        self.stats.log_failure(error);
    }
}
