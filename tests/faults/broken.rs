//! First targets that do not work, each in its own way. Each notes when the first INVITE of a call came to it.
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ringproof::sip::message::{Message, Method, Response};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// When, by Call-ID.
pub(crate) type Times = BTreeMap<String, Instant>;
type Log = Arc<Mutex<Times>>;

pub(crate) struct Broken {
    pub(crate) address: SocketAddr,
    came: Log,
    /// When the call was told that it fails, where it was.
    failed: Log,
    task: JoinHandle<()>,
}

impl Broken {
    /// Hears everything, says nothing.
    pub(crate) async fn silent() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let came: Log = Arc::default();
        let keeps = Arc::clone(&came);
        Self {
            address: socket.local_addr().unwrap(),
            came,
            failed: Arc::default(),
            task: tokio::spawn(async move {
                let mut buffer = [0; 65_536];
                while let Ok((len, _)) = socket.recv_from(&mut buffer).await {
                    note(&keeps, &String::from_utf8_lossy(&buffer[..len]));
                }
            }),
        }
    }

    /// 100 at once, 503 after `delay`: long enough and every call meets it, since the first 503 sends the next ones on.
    pub(crate) async fn unavailable(delay: Duration) -> Self {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let address = socket.local_addr().unwrap();
        let (came, failed): (Log, Log) = Default::default();
        let (keeps, tells) = (Arc::clone(&came), Arc::clone(&failed));
        let task = tokio::spawn(async move {
            let mut buffer = [0; 65_536];
            while let Ok((len, from)) = socket.recv_from(&mut buffer).await {
                let Ok(Message::Request(request)) = Message::parse(&buffer[..len]) else {
                    continue;
                };
                if request.method != Method::Invite {
                    continue;
                }
                let trying = Response::reply_to(&request, 100, None);
                socket.send_to(&trying.to_bytes(), from).await.unwrap();
                if !note(&keeps, &String::from_utf8_lossy(&buffer[..len])) {
                    continue;
                }
                let (socket, tells) = (Arc::clone(&socket), Arc::clone(&tells));
                tokio::spawn(async move {
                    tokio::time::sleep(delay).await;
                    let call_id = request.headers.call_id().unwrap().to_owned();
                    let refusal = Response::reply_to(&request, 503, None).with_to_tag("broken");
                    tells.lock().unwrap().insert(call_id, Instant::now());
                    socket.send_to(&refusal.to_bytes(), from).await.unwrap();
                });
            }
        });
        Self {
            address,
            came,
            failed,
            task,
        }
    }

    /// Takes INVITEs over TCP, and resets every connection once `calls` have come.
    pub(crate) async fn resets_after(calls: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (came, failed): (Log, Log) = Default::default();
        let (keeps, tells) = (Arc::clone(&came), Arc::clone(&failed));
        let task = tokio::spawn(async move {
            let full = watch::Sender::new(false);
            while let Ok((stream, _)) = listener.accept().await {
                let (keeps, tells, full) = (Arc::clone(&keeps), Arc::clone(&tells), full.clone());
                tokio::spawn(reset_when_full(stream, calls, keeps, tells, full));
            }
        });
        Self {
            address,
            came,
            failed,
            task,
        }
    }

    /// Of the calls that met it: when they came, and when they were told.
    pub(crate) fn times(&self) -> (Times, Times) {
        (
            self.came.lock().unwrap().clone(),
            self.failed.lock().unwrap().clone(),
        )
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn reset_when_full(
    mut stream: TcpStream,
    calls: usize,
    came: Log,
    failed: Log,
    full: watch::Sender<bool>,
) {
    let mut is_full = full.subscribe();
    let (mut heard, mut buffer) = (String::new(), [0; 65_536]);
    loop {
        tokio::select! {
            _ = is_full.wait_for(|full| *full) => break,
            read = stream.read(&mut buffer) => match read {
                Ok(len @ 1..) => heard.push_str(&String::from_utf8_lossy(&buffer[..len])),
                Ok(0) | Err(_) => return,
            },
        }
        // An INVITE of ours has a body: the next blank line ends its head, whatever of the body has come.
        while let Some(at) = heard.find("INVITE sip:") {
            let Some(end) = heard[at..].find("\r\n\r\n") else {
                break;
            };
            note(&came, &heard[at..at + end]);
            heard.drain(..at + end);
        }
        if came.lock().unwrap().len() >= calls {
            full.send_replace(true);
        }
    }
    // No time to linger: RST instead of FIN.
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    let now = Instant::now();
    let met: Vec<String> = came.lock().unwrap().keys().cloned().collect();
    failed
        .lock()
        .unwrap()
        .extend(met.into_iter().map(|call_id| (call_id, now)));
}

/// Whether it is the first INVITE of its call.
fn note(times: &Mutex<Times>, message: &str) -> bool {
    let call_id = message
        .lines()
        .find_map(|line| line.strip_prefix("Call-ID:"))
        .map(|call_id| call_id.trim().to_owned());
    let (true, Some(call_id)) = (message.starts_with("INVITE "), call_id) else {
        return false;
    };
    let mut times = times.lock().unwrap();
    let is_new = !times.contains_key(&call_id);
    times.entry(call_id).or_insert_with(Instant::now);
    is_new
}
