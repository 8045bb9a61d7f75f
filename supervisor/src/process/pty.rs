//! A pseudo terminal, read and written without a thread.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use parking_lot::Mutex;
use portable_pty::{MasterPty, PtySize, native_pty_system};
use rustix::fs::{Mode, OFlags, fchmod, fchown, fcntl_getfl, fcntl_setfl};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer};
use rustix::termios::{InputModes, OptionalActions, tcgetattr, tcsetattr};
use tokio::io::unix::AsyncFd;

use super::User;

/// Columns and rows, then pixels (0 where unknown).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Characters across.
    pub columns: u16,
    /// Lines.
    pub rows: u16,
    /// Pixels across.
    pub width_px: u16,
    /// Pixels down.
    pub height_px: u16,
}

impl Default for Size {
    fn default() -> Self {
        Self { columns: 80, rows: 24, width_px: 0, height_px: 0 }
    }
}

impl From<api::v1::TerminalSize> for Size {
    /// Zero columns or rows mean "not known": 80 by 24.
    fn from(size: api::v1::TerminalSize) -> Self {
        let bounded = |value: u32, default: u16| match value {
            0 => default,
            value => u16::try_from(value).unwrap_or(u16::MAX),
        };
        Self {
            columns: bounded(size.columns, 80),
            rows: bounded(size.rows, 24),
            width_px: bounded(size.width_px, 0),
            height_px: bounded(size.height_px, 0),
        }
    }
}

impl From<Size> for PtySize {
    fn from(size: Size) -> Self {
        Self { rows: size.rows, cols: size.columns, pixel_width: size.width_px, pixel_height: size.height_px }
    }
}

/// Our end. Clones share it; when the last one goes, the other end is hung up (SIGHUP).
#[derive(Clone)]
pub struct Pty(Arc<Inner>);

struct Inner {
    master: Mutex<Box<dyn MasterPty + Send>>,
    descriptor: AsyncFd<OwnedFd>,
    writing: tokio::sync::Mutex<()>,
}

impl Pty {
    /// Opens a pair and gives the inner end to `user`, so that programs which open it by name may do so.
    pub fn open(size: Size, user: &User) -> io::Result<(Self, OwnedFd)> {
        let pair = native_pty_system().openpty(size.into()).map_err(io::Error::other)?;
        let number = pair.master.as_raw_fd().ok_or_else(|| io::Error::other("a terminal without a descriptor"))?;
        // portable-pty reads by blocking only; a duplicate of its descriptor is what the runtime waits for.
        let descriptor = sys::process::duplicate(number)?;
        fcntl_setfl(&descriptor, fcntl_getfl(&descriptor)? | OFlags::NONBLOCK)?;
        // Not by its path: /dev/pts may be anything in somebody's image.
        let inside = ioctl_tiocgptpeer(&descriptor, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        understand_utf8(&inside)?;
        if nix::unistd::geteuid().is_root() {
            fchown(&inside, Some(rustix::fs::Uid::from_raw(user.uid)), None)?;
            fchmod(&inside, Mode::RUSR | Mode::WUSR | Mode::WGRP)?;
        }
        #[expect(deprecated, reason = "its successor is unsafe for types that may give away their descriptor; OwnedFd cannot")]
        let descriptor = AsyncFd::new(descriptor)?;
        let inner = Inner { master: Mutex::new(pair.master), descriptor, writing: tokio::sync::Mutex::default() };
        Ok((Self(Arc::new(inner)), inside))
    }

    /// Reads what there is, up to `buffer`; 0 when everybody inside has closed it. One reader only.
    pub async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.0.descriptor.readable().await?;
            match ready.try_io(|descriptor| fill(descriptor.get_ref(), buffer)) {
                // EIO: no process has the other end open (pty(7)).
                Ok(Err(error)) if error.raw_os_error() == Some(nix::libc::EIO) => return Ok(0),
                Ok(answer) => return answer,
                Err(_would_block) => {}
            }
        }
    }

    /// Writes all of it; waits while the program inside does not read. Writers take turns by whole calls.
    pub async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        let _turn = self.0.writing.lock().await;
        while !bytes.is_empty() {
            let mut ready = self.0.descriptor.writable().await?;
            if let Ok(written) = ready.try_io(|descriptor| Ok(rustix::io::write(descriptor.get_ref(), bytes)?)) {
                bytes = &bytes[written?..];
            }
        }
        Ok(())
    }

    /// Changes the size; programs inside get SIGWINCH.
    pub fn resize(&self, size: Size) -> io::Result<()> {
        self.0.master.lock().resize(size.into()).map_err(io::Error::other)
    }

    /// The process group in the foreground.
    pub fn foreground(&self) -> Option<i32> {
        self.0.master.lock().process_group_leader()
    }
}

/// Erasing a character in a line then erases all of its bytes (IUTF8, termios(3)).
fn understand_utf8(inside: &OwnedFd) -> io::Result<()> {
    let mut modes = tcgetattr(inside)?;
    modes.input_modes |= InputModes::IUTF8;
    Ok(tcsetattr(inside, OptionalActions::Now, &modes)?)
}

/// The kernel gives at most 4 KiB at once (N_TTY); going on until it has no more makes messages larger and fewer.
fn fill(descriptor: &OwnedFd, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = rustix::io::read(descriptor, &mut *buffer)?;
    while filled > 0 && filled < buffer.len() {
        match rustix::io::read(descriptor, &mut buffer[filled..]) {
            Ok(0) | Err(_) => break,
            Ok(more) => filled += more,
        }
    }
    Ok(filled)
}
