//! The floor below all: one connection, without Nagle's delay. Whoever asks says how much he wants in 64 bytes.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use bytes::Bytes;

use crate::Outcome;
use crate::body::SMALL;

/// Answers whoever connects, one at a time, on a thread that ends with the process. Gives the address.
pub(crate) fn serve(body: Bytes) -> Outcome<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    thread::Builder::new().name("tcp".to_owned()).spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let _ = answer(stream, &body);
        }
    })?;
    Ok(address)
}

fn answer(mut stream: TcpStream, body: &[u8]) -> Outcome<()> {
    stream.set_nodelay(true)?;
    let mut question = [0; SMALL];
    loop {
        stream.read_exact(&mut question)?;
        let wanted = u64::from_le_bytes(question[..8].try_into()?) as usize;
        stream.write_all(body.get(..wanted).ok_or("more than there is")?)?;
    }
}

pub(crate) struct Asker(TcpStream);

impl Asker {
    pub(crate) fn connect(address: &str) -> Outcome<Asker> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Ok(Asker(stream))
    }

    fn ask(&self, size: usize) -> Outcome<&TcpStream> {
        let mut question = [0; SMALL];
        question[..8].copy_from_slice(&(size as u64).to_le_bytes());
        let mut stream = &self.0;
        stream.write_all(&question)?;
        Ok(stream)
    }

    /// Fills the buffer with what the other side sends.
    pub(crate) fn get(&self, into: &mut [u8]) -> Outcome<()> {
        Ok(self.ask(into.len())?.read_exact(into)?)
    }

    /// The same into memory that nobody has touched yet, as what is kept must be.
    pub(crate) fn get_new(&self, size: usize) -> Outcome<Vec<u8>> {
        let mut into = Vec::with_capacity(size);
        self.ask(size)?.take(size as u64).read_to_end(&mut into)?;
        Ok(into)
    }
}
