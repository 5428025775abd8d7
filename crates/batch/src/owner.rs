//! Whose files and batches they are: what belongs to others is not there.

use crate::Store;

/// On whose behalf files and batches are kept and looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who<'a> {
    /// Somebody without a name: what is kept has no owner, and all there is is found.
    Anybody,
    /// The owner of this name, who finds what is theirs alone.
    Owner(&'a str),
    /// One of this name who finds all there is.
    Overseer(&'a str),
}

impl<'a> Who<'a> {
    /// Whose it is what is kept.
    pub(crate) fn name(self) -> Option<&'a str> {
        match self {
            Who::Anybody => None,
            Who::Owner(name) | Who::Overseer(name) => Some(name),
        }
    }

    /// Whose is found; everybody's if nobody is named.
    pub(crate) fn finds(self) -> Option<&'a str> {
        match self {
            Who::Anybody | Who::Overseer(_) => None,
            Who::Owner(name) => Some(name),
        }
    }
}

/// The files and batches that somebody may see.
#[derive(Clone, Copy)]
pub struct Owned<'a> {
    pub(crate) store: &'a Store,
    pub(crate) who: Who<'a>,
}

impl Store {
    /// What `who` may see of it.
    pub fn of<'a>(&'a self, who: Who<'a>) -> Owned<'a> {
        Owned { store: self, who }
    }
}
