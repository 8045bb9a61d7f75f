//! Terminals: the window's size.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

/// Size of a terminal's window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowSize {
    /// Characters across.
    pub columns: u16,
    /// Lines.
    pub rows: u16,
    /// Pixels across; 0 where unknown.
    pub width_px: u16,
    /// Pixels down; 0 where unknown.
    pub height_px: u16,
}

/// Asks for the size (`TIOCGWINSZ`, ioctl_tty(2)); fails with ENOTTY where `fd` is not a terminal.
pub fn window_size(fd: impl AsFd) -> io::Result<WindowSize> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: `size` lives through the call and is what TIOCGWINSZ writes; the descriptor is borrowed, so it is open.
    let answer = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(WindowSize { columns: size.ws_col, rows: size.ws_row, width_px: size.ws_xpixel, height_px: size.ws_ypixel })
}
