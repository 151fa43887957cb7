//! What a publisher was about to publish and what became of it, one line each, before anything else happens.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
    path::Path,
    sync::{Mutex, PoisonError},
};

/// What is known of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::chaos) enum Fate {
    /// It was to be published; nobody knows.
    Sent,
    /// The broker confirmed it.
    Confirmed,
    /// The publish failed and was not tried again; the broker may have the event.
    Failed,
    /// The publish was refused before anything was sent, and not tried again.
    Refused,
}

impl Fate {
    const fn letter(self) -> char {
        match self {
            Self::Sent => 's',
            Self::Confirmed => 'c',
            Self::Failed => 'f',
            Self::Refused => 'r',
        }
    }
}

/// The numbers of each key.
pub(in crate::chaos) type Fates = BTreeMap<String, BTreeMap<u64, Fate>>;

/// A file that lines are added to. What was written survives the death of the process.
pub(super) struct Ledger(Mutex<File>);

impl Ledger {
    pub(super) fn open(file: &Path) -> io::Result<Self> {
        Ok(Self(Mutex::new(OpenOptions::new().create(true).append(true).open(file)?)))
    }

    pub(super) fn note(&self, fate: Fate, key: &str, number: u64) -> io::Result<()> {
        let line = format!("{} {key} {number}\n", fate.letter());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes())
    }
}

/// Reads a ledger back; a file that is not there is empty.
pub(in crate::chaos) fn read(file: &Path) -> io::Result<Fates> {
    let mut fates = Fates::new();
    let opened = match File::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(fates),
        Err(error) => return Err(error),
    };
    for line in BufReader::new(opened).lines() {
        let line = line?;
        let mut words = line.split(' ');
        let (Some(letter), Some(key), Some(Ok(number))) = (words.next(), words.next(), words.next().map(str::parse))
        else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("not a line of a ledger: {line:?}")));
        };
        let fate = match letter {
            "c" => Fate::Confirmed,
            "f" => Fate::Failed,
            "r" => Fate::Refused,
            _ => Fate::Sent,
        };
        let known = fates.entry(key.to_owned()).or_default().entry(number).or_insert(fate);
        // A confirmed event that a later process sends again stays confirmed.
        if *known != Fate::Confirmed {
            *known = fate;
        }
    }
    Ok(fates)
}
