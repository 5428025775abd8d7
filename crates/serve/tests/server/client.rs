//! A small HTTP client: nothing hidden, so that tests see each byte when it comes, and can go away at any moment.

use std::io::ErrorKind;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::net::{TcpSocket, TcpStream};

use crate::described;

/// A connection to the server.
pub(crate) struct Client {
    stream: TcpStream,
    unread: Vec<u8>,
    /// Method and path of the last request.
    asked: (String, String),
}

/// The head of an answer.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
}

impl Head {
    /// A header, by its name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }
}

/// One request, one answer, one connection.
pub(crate) async fn fetch(address: SocketAddr, method: &str, path: &str, body: &[u8]) -> Answer {
    let mut client = Client::connect(address).await;
    client.send(method, path, body).await;
    client.answer().await
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Client {
        let socket = TcpSocket::new_v4().expect("a socket");
        // Small, so that a client that does not read is felt soon.
        socket.set_recv_buffer_size(16 << 10).expect("a buffer size");
        Client {
            stream: socket.connect(address).await.expect("the server listens"),
            unread: Vec::new(),
            asked: Default::default(),
        }
    }

    pub(crate) async fn send(&mut self, method: &str, path: &str, body: &[u8]) {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.write(head.as_bytes()).await;
        self.write(body).await;
    }

    /// Sends bytes as they are.
    pub(crate) async fn write(&mut self, mut bytes: &[u8]) {
        self.note(bytes);
        while !bytes.is_empty() {
            self.stream.writable().await.expect("a socket");
            match self.stream.try_write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(e) => assert_eq!(e.kind(), ErrorKind::WouldBlock, "the server reads: {e}"),
            }
        }
    }

    /// Keeps what is asked, where bytes begin a request.
    fn note(&mut self, bytes: &[u8]) {
        let line = String::from_utf8_lossy(bytes.split(|byte| *byte == b'\r').next().unwrap_or_default());
        if let [method, path, "HTTP/1.1"] = line.split(' ').collect::<Vec<_>>()[..] {
            self.asked = (method.to_owned(), path.to_owned());
        }
    }

    /// The head of the answer.
    pub(crate) async fn head(&mut self) -> Head {
        let head = self.until(b"\r\n\r\n").await.expect("an answer has a head");
        let head = String::from_utf8(head).expect("a head is text");
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|word| word.parse().ok());
        let header = |line: &str| line.split_once(':').map(|(k, v)| (k.to_ascii_lowercase(), v.trim().to_owned()));
        Head { status: status.expect("a status"), headers: lines.filter_map(header).collect() }
    }

    /// The whole answer, which is compared with what the server says of itself.
    pub(crate) async fn answer(&mut self) -> Answer {
        let head = self.head().await;
        let mut body = Vec::new();
        match head.header("content-length") {
            Some(length) => body = self.exactly(length.parse().expect("a length")).await,
            None => {
                while let Some(chunk) = self.chunk().await {
                    body.extend(chunk);
                }
            }
        }
        let answer = Answer { head, body };
        described::check(&self.asked.0, &self.asked.1, &answer);
        answer
    }

    /// The next chunk of a chunked body; `None` at its end.
    pub(crate) async fn chunk(&mut self) -> Option<Vec<u8>> {
        let size = String::from_utf8(self.until(b"\r\n").await?).ok()?;
        let size = usize::from_str_radix(size.trim(), 16).expect("a chunk's size");
        let mut chunk = self.exactly(size + 2).await;
        chunk.truncate(size);
        (size > 0).then_some(chunk)
    }

    /// The data of the next event; `None` at the end of the stream. An event must arrive in one chunk: nobody collected it.
    pub(crate) async fn event(&mut self) -> Option<String> {
        let chunk = String::from_utf8(self.chunk().await?).expect("events are text");
        let data = chunk.strip_prefix("data: ").and_then(|rest| rest.strip_suffix("\n\n"));
        Some(data.unwrap_or_else(|| panic!("not one event: {chunk:?}")).to_owned())
    }

    /// The name and the data of the next named event; `None` at the end of the stream.
    pub(crate) async fn named_event(&mut self) -> Option<(String, String)> {
        let chunk = String::from_utf8(self.chunk().await?).expect("events are text");
        let parts = chunk.strip_prefix("event: ").and_then(|rest| rest.strip_suffix("\n\n")?.split_once("\ndata: "));
        let (name, data) = parts.unwrap_or_else(|| panic!("not one named event: {chunk:?}"));
        Some((name.to_owned(), data.to_owned()))
    }

    /// The next line of a stream of lines of JSON; `None` at its end. A line must arrive in one chunk.
    pub(crate) async fn line(&mut self) -> Option<Value> {
        let chunk = String::from_utf8(self.chunk().await?).expect("lines are text");
        let line = chunk.strip_suffix('\n').filter(|line| !line.contains('\n'));
        Some(serde_json::from_str(line.unwrap_or_else(|| panic!("not one line: {chunk:?}"))).expect("JSON"))
    }

    /// Whether the server has closed the connection.
    pub(crate) async fn closed(&mut self) -> bool {
        matches!(self.read().await, Ok(0) | Err(_))
    }

    /// What still comes until the server closes the connection.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.more().await.is_some() {}
        std::mem::take(&mut self.unread)
    }

    async fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.unread.windows(end.len()).position(|window| window == end) {
                return Some(self.unread.drain(..at + end.len()).collect());
            }
            self.more().await?;
        }
    }

    async fn exactly(&mut self, length: usize) -> Vec<u8> {
        while self.unread.len() < length {
            self.more().await.expect("the body is complete");
        }
        self.unread.drain(..length).collect()
    }

    async fn more(&mut self) -> Option<()> {
        let read = self.read().await.expect("the server writes");
        (read > 0).then_some(())
    }

    /// Waits for bytes and takes them; 0 at the end.
    async fn read(&mut self) -> std::io::Result<usize> {
        let mut buffer = [0; 16 << 10];
        loop {
            self.stream.readable().await?;
            match self.stream.try_read(&mut buffer) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                read => {
                    self.unread.extend(&buffer[..*read.as_ref().unwrap_or(&0)]);
                    return read;
                }
            }
        }
    }
}
