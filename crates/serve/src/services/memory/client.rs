//! The near end: a manager of blocks that asks elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use engine::{BlockManager, Managing};

use super::{Applied, Apply, Op, Open, Opened};
use crate::services::{Link, Trouble};

/// Operations that wait for a question at most.
const WAITING: usize = 256;

/// A manager of blocks that asks a service. Where that cannot be asked, it has no blocks and finds nothing: everything that is queued or
/// runs ends with an error. When nothing is held any more it begins a new session.
#[derive(Debug)]
pub struct RemoteBlocks {
    link: Arc<Link>,
    managing: Managing,
    /// The rule that was asked for; that of the service if none was.
    eviction: Option<String>,
    session: Option<Session>,
    waiting: Vec<Op>,
    /// Blocks that somebody holds here. What the service says must fit them: two sequences that write one block would read each other.
    held: Vec<bool>,
    kept: usize,
    warm: usize,
    trouble: Option<String>,
}

#[derive(Debug)]
struct Session {
    name: String,
    version: u64,
}

impl RemoteBlocks {
    /// The blocks of an engine's cache, managed by a service; by this rule of eviction, or its own. It is asked for the first time when
    /// the first step begins.
    pub fn new(link: Arc<Link>, managing: Managing, eviction: Option<String>) -> RemoteBlocks {
        let (session, waiting, held, trouble) = (None, Vec::new(), vec![false; managing.blocks], None);
        RemoteBlocks { link, managing, eviction, session, waiting, held, kept: 0, warm: 0, trouble }
    }

    /// Finds out whether the service is there and knows the rule of eviction.
    ///
    /// # Errors
    /// If nobody answers, or there is no such rule.
    pub fn check(link: &Link, eviction: Option<&str>) -> Result<(), String> {
        let open =
            Open { session: unique(), blocks: 1, block_len: 1, eviction: eviction.map(str::to_owned), most_kept: None };
        let opened: Result<Opened, Trouble> = link.ask("/open", &open);
        opened.map(|_| ()).map_err(|trouble| link.sentence(&trouble))
    }

    fn open(&mut self) -> Result<(), String> {
        let open = Open::of(unique(), &self.managing, self.eviction.as_deref());
        let opened: Result<Opened, Trouble> = self.link.ask("/open", &open);
        let Opened { session, version, .. } = opened.map_err(|trouble| self.link.sentence(&trouble))?;
        self.session = Some(Session { name: session, version });
        self.waiting.clear();
        (self.kept, self.warm) = (0, 0);
        Ok(())
    }

    /// Says what has happened, and gives the answer to the last operation, if it has one.
    fn ask(&mut self, op: Option<Op>) -> Vec<u32> {
        if self.trouble.is_some() {
            return Vec::new();
        }
        let answers = op.as_ref().is_some_and(Op::answers);
        self.waiting.extend(op);
        self.exchange(answers).unwrap_or_else(|why| self.doubt(why))
    }

    /// Nothing that the service says counts until a new session begins.
    fn doubt(&mut self, why: String) -> Vec<u32> {
        self.session = None;
        self.trouble = Some(why);
        Vec::new()
    }

    /// Blocks that are named as an answer, if they are as many at most, each once; of those that are to be free nobody holds one.
    fn checked(&mut self, mut blocks: Vec<u32>, most: usize, free: bool) -> Vec<u32> {
        let mut sorted = blocks.clone();
        sorted.sort_unstable();
        let twice = sorted.windows(2).any(|pair| pair[0] == pair[1]);
        let taken = blocks.iter().any(|block| free && self.held[*block as usize]);
        if twice || taken || blocks.len() > most {
            let trouble = self.link.failed("it names blocks that are not to be had".to_owned());
            blocks = self.doubt(self.link.sentence(&trouble));
        }
        blocks
    }

    /// As [`RemoteBlocks::checked`], for blocks that are held from now on.
    fn taken(&mut self, blocks: Vec<u32>, most: usize, free: bool) -> Vec<u32> {
        let blocks = self.checked(blocks, most, free);
        blocks.iter().for_each(|block| self.held[*block as usize] = true);
        blocks
    }

    fn exchange(&mut self, answers: bool) -> Result<Vec<u32>, String> {
        if self.session.is_none() {
            self.open_with_waiting()?;
        }
        let Some(session) = &mut self.session else { return Ok(Vec::new()) };
        let ops = std::mem::take(&mut self.waiting);
        let apply = Apply { session: session.name.clone(), version: session.version, ops };
        let applied: Result<Applied, Trouble> = self.link.ask("/apply", &apply);
        let Applied { version, answers: mut told, kept, warm } =
            applied.map_err(|trouble| self.link.sentence(&trouble))?;
        session.version += 1;
        (self.kept, self.warm) = (kept, warm);
        let last = told.pop();
        let known = |blocks: &Vec<u32>| blocks.iter().all(|block| (*block as usize) < self.managing.blocks);
        let right = version == session.version && told.is_empty() && last.is_some() == answers;
        if right && last.as_ref().is_none_or(known) {
            return Ok(last.unwrap_or_default());
        }
        let trouble = self.link.failed("it answers what it was not asked, or is at another version".to_owned());
        Err(self.link.sentence(&trouble))
    }

    /// The first session of a cache begins when something is asked; what waits is part of it.
    fn open_with_waiting(&mut self) -> Result<(), String> {
        let waiting = std::mem::take(&mut self.waiting);
        self.open()?;
        self.waiting = waiting;
        Ok(())
    }

    fn later(&mut self, op: Op) {
        match (self.waiting.last_mut(), op) {
            (Some(Op::LetGo { blocks }), Op::LetGo { blocks: more }) => blocks.extend(more),
            (Some(Op::Tick { steps }), Op::Tick { steps: more }) => *steps += more,
            (_, op) => self.waiting.push(op),
        }
    }
}

impl BlockManager for RemoteBlocks {
    fn allocate(&mut self, count: usize) -> Vec<u32> {
        let blocks = self.ask(Some(Op::Allocate { count }));
        self.taken(blocks, count, true)
    }

    fn let_go(&mut self, block: u32) {
        self.held[block as usize] = false;
        self.later(Op::LetGo { blocks: vec![block] });
    }

    fn find(&mut self, parent: Option<u32>, salt: Option<&str>, tokens: &[u32]) -> Vec<u32> {
        let most = tokens.len() / self.managing.block_len.max(1);
        let blocks = self.ask(Some(Op::Find { parent, salt: salt.map(str::to_owned), tokens: tokens.to_vec() }));
        self.taken(blocks, most, false)
    }

    fn share(&mut self, parent: Option<u32>, salt: Option<&str>, blocks: &[u32], tokens: &[u32]) -> Vec<u32> {
        let (salt, most) = (salt.map(str::to_owned), blocks.len());
        let shared = self.ask(Some(Op::Share { parent, salt, blocks: blocks.to_vec(), tokens: tokens.to_vec() }));
        self.taken(shared, most, false)
    }

    fn hit(&mut self, blocks: &[u32]) {
        self.later(Op::Hit { blocks: blocks.to_vec() });
    }

    fn tick(&mut self, held: usize) {
        if self.trouble.is_some() {
            if held > 0 {
                // What is held is of a session that is over: first everything ends.
                return;
            }
            self.trouble = self.open().err();
        }
        self.later(Op::Tick { steps: 1 });
        if self.waiting.len() > WAITING {
            self.ask(None);
        }
    }

    fn kept(&self) -> usize {
        self.kept
    }

    fn most_kept(&self) -> usize {
        self.managing.most_kept
    }

    fn warm(&self) -> usize {
        self.warm
    }

    fn cool(&mut self, count: usize) -> Vec<u32> {
        let mut blocks = self.ask(Some(Op::Cool { count }));
        blocks.sort_unstable();
        self.checked(blocks, count, true)
    }

    fn forget(&mut self) {
        self.later(Op::Forget {});
    }

    fn trouble(&self) -> Option<String> {
        self.trouble.clone()
    }

    /// The books are the service's.
    fn check(&self, _: &[u32]) -> Result<(), String> {
        Ok(())
    }
}

/// A name that no other session has, of this process or another.
fn unique() -> String {
    static SESSIONS: AtomicU64 = AtomicU64::new(0);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!("{}-{since}-{}", std::process::id(), SESSIONS.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;
    use std::time::Duration;

    use engine::Eviction;

    use super::*;

    /// A service that opens every session and then answers what it is told to, whatever it is asked; each answer on a connection of its own.
    fn service(answers: Vec<String>) -> Arc<Link> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        std::thread::spawn(move || {
            let mut answers = answers.into_iter();
            for stream in listener.incoming().map_while(Result::ok) {
                let mut reader = BufReader::new(stream);
                let (mut head, mut line) = (String::new(), String::new());
                while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                    head += &std::mem::take(&mut line).to_ascii_lowercase();
                }
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
                let _ = reader.read_exact(&mut vec![0; length.unwrap_or(0)]);
                let opened = r#"{ "session": "s", "version": 0, "eviction": "lru" }"#.to_owned();
                let answer = if head.starts_with("post /open") { Some(opened) } else { answers.next() };
                let answer = answer.unwrap_or_default();
                let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", answer.len());
                let _ = reader.get_mut().write_all((head + &answer).as_bytes());
            }
        });
        Link::new("memory", &url, Duration::from_secs(60)).expect("an address")
    }

    /// Two blocks are wanted for each answer; `expect` is what comes of it, and what is wrong in the end.
    fn check(answers: &[&str], expect: &[&[u32]], trouble: Option<&str>) {
        let answer = |(version, blocks): (usize, &&str)| {
            format!(r#"{{ "version": {}, "answers": {blocks}, "kept": 0, "warm": 0 }}"#, version + 1)
        };
        let link = service(answers.iter().enumerate().map(answer).collect());
        let managing = Managing { blocks: 4, block_len: 2, eviction: Eviction::Lru, most_kept: 4 };
        let mut blocks = RemoteBlocks::new(link, managing, None);
        let got: Vec<Vec<u32>> = answers.iter().map(|_| blocks.allocate(2)).collect();
        assert_eq!(got, expect, "{answers:?}");
        let told = blocks.trouble();
        assert_eq!(told.is_some(), trouble.is_some(), "{answers:?}: {told:?}");
        assert!(told.unwrap_or_default().contains(trouble.unwrap_or_default()), "{answers:?}");
        if trouble.is_some() {
            assert!(blocks.allocate(1).is_empty(), "nothing is asked until a session begins");
        }
    }

    #[test]
    fn blocks_that_are_not_to_be_had_are_not_taken() {
        check(&["[[0, 1]]", "[[2, 3]]"], &[&[0, 1], &[2, 3]], None);
        check(&["[[0, 1]]", "[[2]]"], &[&[0, 1], &[2]], None);
        check(&["[[0, 1]]", "[[1, 2]]"], &[&[0, 1], &[]], Some("not to be had"));
        check(&["[[3, 3]]"], &[&[]], Some("not to be had"));
        check(&["[[0, 1, 2]]"], &[&[]], Some("not to be had"));
        check(&["[[4]]"], &[&[]], Some("what it was not asked"));
        check(&["[[0], [1]]"], &[&[]], Some("what it was not asked"));
        check(&["[]"], &[&[]], Some("what it was not asked"));
        check(&["7"], &[&[]], Some("cannot be read"));
    }
}
