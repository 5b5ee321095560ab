//! A bounded queue with one reader that costs next to nothing while nothing waits in it.
//!
//! A channel of tokio keeps room for 32 messages as long as it lives, some 800 octets; a server has thousands of calls that
//! have ended and whose queue nearly always stays empty.
//!
//! Invariants:
//! - What does not fit comes back to its sender at once; nobody waits for room.
//! - What was sent before the last sender went is still read.
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::sync::mpsc::error::{TryRecvError, TrySendError};

#[derive(Debug)]
pub struct Sender<T>(Arc<Shared<T>>);

#[derive(Debug)]
pub struct Receiver<T>(Arc<Shared<T>>);

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    news: Notify,
}

#[derive(Debug)]
struct State<T> {
    waiting: VecDeque<T>,
    waiting_max: usize,
    senders: usize,
    reader: Reader,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    Here,
    Gone,
}

/// A queue in which at most `waiting_max` messages wait.
#[must_use]
pub fn mailbox<T>(waiting_max: usize) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State {
            waiting: VecDeque::new(),
            waiting_max,
            senders: 1,
            reader: Reader::Here,
        }),
        news: Notify::new(),
    });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

impl<T> Sender<T> {
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        let mut state = self.0.state();
        if state.reader == Reader::Gone {
            return Err(TrySendError::Closed(message));
        }
        if state.waiting.len() >= state.waiting_max {
            return Err(TrySendError::Full(message));
        }
        state.waiting.push_back(message);
        drop(state);
        self.0.news.notify_one();
        Ok(())
    }

    /// Nobody reads any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.state().reader == Reader::Gone
    }
}

impl<T> Receiver<T> {
    /// `None` once every sender is gone and nothing waits. Cancel-safe.
    pub async fn recv(&mut self) -> Option<T> {
        loop {
            // A task whose mailbox is never empty lets others run.
            tokio::task::consume_budget().await;
            match self.try_recv() {
                Ok(message) => return Some(message),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => self.0.news.notified().await,
            }
        }
    }

    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        let mut state = self.0.state();
        match state.waiting.pop_front() {
            Some(message) => {
                if state.waiting.is_empty() {
                    state.waiting = VecDeque::new();
                }
                Ok(message)
            }
            None if state.senders == 0 => Err(TryRecvError::Disconnected),
            None => Err(TryRecvError::Empty),
        }
    }
}

impl<T> Shared<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        // Nobody panics while holding it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.state().senders += 1;
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let left = {
            let mut state = self.0.state();
            state.senders -= 1;
            state.senders
        };
        if left == 0 {
            self.0.news.notify_one();
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let unread = {
            let mut state = self.0.state();
            state.reader = Reader::Gone;
            std::mem::take(&mut state.waiting)
        };
        drop(unread);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_come_in_order_and_what_does_not_fit_comes_back() {
        let (into, mut from) = mailbox(2);
        into.try_send(1).unwrap();
        into.try_send(2).unwrap();
        assert_eq!(into.try_send(3), Err(TrySendError::Full(3)));
        assert_eq!(from.recv().await, Some(1));
        into.try_send(3).unwrap();
        assert_eq!((from.recv().await, from.recv().await), (Some(2), Some(3)));
        assert_eq!(from.try_recv(), Err(TryRecvError::Empty));
    }

    #[tokio::test]
    async fn a_reader_that_waits_is_woken_by_a_message_and_by_the_end_of_the_last_sender() {
        let (into, mut from) = mailbox(1);
        let other = into.clone();
        let reading = tokio::spawn(async move { (from.recv().await, from.recv().await) });
        tokio::task::yield_now().await;
        other.try_send("told").unwrap();
        drop(other);
        tokio::task::yield_now().await;
        assert!(!reading.is_finished());
        drop(into);
        assert_eq!(reading.await.unwrap(), (Some("told"), None));
    }

    #[tokio::test]
    async fn what_waits_outlives_its_senders_and_a_reader_that_is_gone_takes_nothing() {
        let (into, mut from) = mailbox(4);
        into.try_send(1).unwrap();
        drop(into);
        assert_eq!((from.recv().await, from.recv().await), (Some(1), None));
        let (into, from) = mailbox(4);
        drop(from);
        assert!(into.is_closed());
        assert_eq!(into.try_send(1), Err(TrySendError::Closed(1)));
    }

    #[tokio::test]
    async fn a_reader_that_gave_up_waiting_loses_nothing() {
        let (into, mut from) = mailbox(4);
        for n in 0..3 {
            tokio::select! {
                biased;
                _ = from.recv() => panic!("nothing was sent"),
                () = tokio::task::yield_now() => {}
            }
            into.try_send(n).unwrap();
            assert_eq!(from.recv().await, Some(n));
        }
    }
}
