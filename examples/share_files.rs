//! Shares the real files of folders, and fetches them all: the main job, on real input.
//!
//! One peer per folder shares every regular file below it; another peer, `guest`, fetches them all by name, and each is compared
//! by digest with the file read again. Prints what was skipped and why, a progress bar, and the sums.
//!
//! `share_files FOLDER...`

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use potluck::{Error, Peer, PeerSystem};
use sha2::{Digest, Sha256};

const TIMEOUT: Duration = Duration::from_secs(10);
const BAR_WIDTH: usize = 40;

type AnyError = Box<dyn std::error::Error>;

/// A file that a peer shares.
struct Shared {
    name: String,
    path: PathBuf,
}

fn main() -> ExitCode {
    let folders: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if folders.is_empty() {
        eprintln!("usage: share_files FOLDER...");
        return ExitCode::from(2);
    }
    match share_and_fetch(&folders) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("share_files: {error}");
            ExitCode::FAILURE
        }
    }
}

fn share_and_fetch(folders: &[PathBuf]) -> Result<(), AnyError> {
    let system = PeerSystem::open("files")?;
    let mut bases = Vec::new();
    let mut files = Vec::new();
    for (i, folder) in folders.iter().enumerate() {
        let base = base_name(folder)?;
        if bases.contains(&base) {
            return Err(format!("two folders are called {base}").into());
        }
        let peer = system.spawn(&format!("peer{}", i + 1))?;
        share_folder(&peer, folder, &base, &mut files)?;
        bases.push(base);
    }
    if files.is_empty() {
        return Err("no file to share".into());
    }

    let guest = system.spawn("guest")?;
    let start = Instant::now();
    let mut bytes = 0;
    for (done, file) in files.iter().enumerate() {
        bytes += guest.fetch(&file.name, TIMEOUT)?.len();
        show_progress(done + 1, files.len());
    }
    let seconds = start.elapsed().as_secs_f64();

    files.sort_by(|a, b| a.name.cmp(&b.name));
    let mut all = Sha256::new();
    for file in &files {
        let fetched = hex(&Sha256::digest(guest.get(&file.name)?.bytes()));
        if fetched != hex(&Sha256::digest(fs::read(&file.path)?)) {
            return Err(format!("{} is not what is in the file", file.name).into());
        }
        all.update(format!("{fetched}  {}\n", file.name));
    }
    println!("{} files, {bytes} bytes from {} peers, all digests equal", files.len(), folders.len());
    println!("digest {}", hex(&all.finalize()));
    println!("{:.1} MB/s", bytes as f64 / 1e6 / seconds.max(1e-9));
    system.shutdown(TIMEOUT)?;
    Ok(())
}

/// Shares what is below a folder, in the order of the names. What cannot be shared is listed, with the reason.
fn share_folder(peer: &Peer, folder: &Path, name: &str, files: &mut Vec<Shared>) -> Result<(), AnyError> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut entries: Vec<fs::DirEntry> = entries.collect::<io::Result<_>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (path, kind) = (entry.path(), entry.file_type()?);
        let name = format!("{name}/{}", entry.file_name().to_string_lossy());
        if kind.is_symlink() {
            println!("skipped {name}: a symbolic link");
        } else if kind.is_dir() {
            share_folder(peer, &path, &name, files)?;
        } else if !kind.is_file() {
            println!("skipped {name}: not a regular file");
        } else if entry.file_name().to_str().is_none() {
            println!("skipped {name}: its name is not UTF-8");
        } else {
            match peer.share(&name, fs::read(&path)?) {
                Ok(_) => files.push(Shared { name, path }),
                Err(error @ Error::InvalidName { .. }) => println!("skipped {name}: {error}"),
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// What the folder is called, also if it is given as `.`.
fn base_name(folder: &Path) -> Result<String, AnyError> {
    let full = fs::canonicalize(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(full.file_name().map_or_else(|| "root".to_owned(), |name| name.to_string_lossy().into_owned()))
}

/// Only the full bar where nobody watches it grow.
fn show_progress(done: usize, of: usize) {
    if done < of && !io::stderr().is_terminal() {
        return;
    }
    let full = BAR_WIDTH * done / of;
    eprint!("\r[{}{}] {done}/{of}", "#".repeat(full), ".".repeat(BAR_WIDTH - full));
    if done == of {
        eprintln!();
    }
    // A bar that cannot be shown is no reason to stop.
    let _ = io::stderr().flush();
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
