//! Programs that a case starts: their lines as they come, and their end with the case at the latest.
use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, ChildStdin, Command, ExitStatus, Output};
use std::time::Duration;

use tokio::sync::mpsc;

/// Standard output and standard error, line by line.
pub(crate) type Lines = mpsc::UnboundedReceiver<String>;

pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// `package` is Debian's, named when the program is missing.
    pub(crate) fn start(command: &mut Command, package: &str) -> Result<Self, String> {
        let child = command.spawn().map_err(|e| missing(command, package, &e))?;
        Ok(Self { child })
    }

    /// Reads on until the end, whether somebody listens or not: a full pipe would stop the program.
    pub(crate) fn stdout(&mut self) -> Lines {
        lines(self.child.stdout.take())
    }

    pub(crate) fn stderr(&mut self) -> Lines {
        lines(self.child.stderr.take())
    }

    /// Where it was piped; once.
    pub(crate) fn stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    pub(crate) fn signal(&self, name: &str) -> Result<(), String> {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status();
        match status {
            Ok(status) if status.success() => Ok(()),
            other => Err(format!("kill -s {name}: {other:?}")),
        }
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    pub(crate) async fn ended(&mut self, at_most: Duration) -> Result<ExitStatus, String> {
        let waits = async {
            loop {
                match self.child.try_wait() {
                    Ok(Some(status)) => return Ok(status),
                    Ok(None) => tokio::time::sleep(Duration::from_millis(20)).await,
                    Err(error) => return Err(error.to_string()),
                }
            }
        };
        tokio::time::timeout(at_most, waits)
            .await
            .unwrap_or_else(|_| Err(format!("it still runs after {} s", at_most.as_secs())))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Runs `command` to its end on a thread of its own.
pub(crate) async fn output(mut command: Command, package: &'static str) -> Result<Output, String> {
    tokio::task::spawn_blocking(move || command.output().map_err(|e| missing(&command, package, &e)))
        .await
        .map_err(|e| e.to_string())?
}

fn missing(command: &Command, package: &str, error: &std::io::Error) -> String {
    let program = command.get_program().to_string_lossy();
    format!("{program} (Debian package {package}): {error}")
}

/// The next line that holds `text`, within `at_most`; the lines before it are the error's.
pub(crate) async fn line_with(lines: &mut Lines, text: &str, at_most: Duration) -> Result<String, String> {
    let mut told = String::new();
    let found = async {
        while let Some(line) = lines.recv().await {
            if line.contains(text) {
                return Some(line);
            }
            told.push_str(&line);
            told.push('\n');
        }
        None
    };
    match tokio::time::timeout(at_most, found).await {
        Ok(Some(line)) => Ok(line),
        _ => Err(format!("expected a line with {text:?}, found\n{told}")),
    }
}

fn lines(pipe: Option<impl Read + Send + 'static>) -> Lines {
    let (send, receive) = mpsc::unbounded_channel();
    if let Some(pipe) = pipe {
        std::thread::spawn(move || {
            let mut reader = BufReader::new(pipe);
            let mut line = Vec::new();
            while matches!(reader.read_until(b'\n', &mut line), Ok(1..)) {
                let _ = send.send(String::from_utf8_lossy(&line).trim_end().to_owned());
                line.clear();
            }
        });
    }
    receive
}
