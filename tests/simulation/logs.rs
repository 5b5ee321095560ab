//! Every log line above DEBUG is read for telephone numbers.
use std::cell::RefCell;
use std::fmt::Write;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

thread_local! {
    static NUMBERS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    static LEAKS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

struct Reader;

#[derive(Default)]
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = write!(self.0, " {field}={value:?}");
    }
}

impl<S: Subscriber> Layer<S> for Reader {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        let leaks = NUMBERS.with_borrow(|numbers| {
            numbers
                .iter()
                .any(|number| line.0.contains(number.trim_start_matches('+')))
        });
        if leaks {
            LEAKS.with_borrow_mut(|leaks| {
                leaks.push(format!("{}:{:.200}", event.metadata().target(), line.0))
            });
        }
    }
}

/// Once per test binary.
pub(crate) fn read_all() {
    let subscriber = tracing_subscriber::registry().with(Reader.with_filter(LevelFilter::INFO));
    // A second test in the same binary finds it there already.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// The numbers that this thread calls from now on.
pub(crate) fn watch(numbers: Vec<String>) {
    NUMBERS.with_borrow_mut(|watched| *watched = numbers);
    LEAKS.with_borrow_mut(Vec::clear);
}

pub(crate) fn take_leaks() -> Vec<String> {
    LEAKS.with_borrow_mut(std::mem::take)
}
