//! The terminal that the user sits at: raw mode that is always given back, its size, and the keys that detach.

use std::io::IsTerminal as _;
use std::os::fd::{AsFd as _, BorrowedFd};

use api::v1::TerminalSize;
use nix::sys::termios::{self, SetArg, Termios};

/// Raw mode for as long as it lives.
pub struct RawMode {
    before: Termios,
}

impl RawMode {
    /// Switches standard input to raw mode; `None` when it is not a terminal.
    pub fn enter() -> Option<Self> {
        let stdin = std::io::stdin();
        if !stdin.is_terminal() {
            return None;
        }
        let before = termios::tcgetattr(stdin.as_fd()).ok()?;
        let mut raw = before.clone();
        termios::cfmakeraw(&mut raw);
        termios::tcsetattr(stdin.as_fd(), SetArg::TCSANOW, &raw).ok()?;
        Some(Self { before })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(std::io::stdin().as_fd(), SetArg::TCSADRAIN, &self.before);
    }
}

/// Size of the terminal at standard output, or 80 by 24.
pub fn size() -> TerminalSize {
    let stdout = std::io::stdout();
    sys_size(stdout.as_fd()).or_else(|| sys_size(std::io::stdin().as_fd())).unwrap_or(TerminalSize {
        columns: 80,
        rows: 24,
        width_px: 0,
        height_px: 0,
    })
}

fn sys_size(fd: BorrowedFd<'_>) -> Option<TerminalSize> {
    let size = sys::tty::window_size(fd).ok()?;
    let usable = size.columns > 0 && size.rows > 0;
    usable.then_some(TerminalSize {
        columns: size.columns.into(),
        rows: size.rows.into(),
        width_px: size.width_px.into(),
        height_px: size.height_px.into(),
    })
}

/// Finds Ctrl-P Ctrl-Q in what is typed. A lone Ctrl-P is held back until the next key shows what it was.
#[derive(Debug, Default)]
pub struct DetachKeys {
    held: bool,
}

impl DetachKeys {
    const CTRL_P: u8 = 0x10;
    const CTRL_Q: u8 = 0x11;

    /// What is to be sent on, and whether the user wants to leave.
    pub fn filter(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut out = Vec::with_capacity(typed.len() + 1);
        for &byte in typed {
            match (self.held, byte) {
                (true, Self::CTRL_Q) => return (out, true),
                (true, Self::CTRL_P) => out.push(Self::CTRL_P),
                (true, other) => {
                    self.held = false;
                    out.extend([Self::CTRL_P, other]);
                }
                (false, Self::CTRL_P) => self.held = true,
                (false, other) => out.push(other),
            }
        }
        (out, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ctrl_p_ctrl_q_leaves_even_in_two_pieces() {
        let mut keys = DetachKeys::default();
        assert_eq!(keys.filter(b"ls\x10"), (b"ls".to_vec(), false));
        assert_eq!(keys.filter(b"\x11rm"), (vec![], true));
    }

    #[test]
    fn a_lone_ctrl_p_reaches_the_program() {
        let mut keys = DetachKeys::default();
        assert_eq!(keys.filter(b"\x10x"), (b"\x10x".to_vec(), false));
        assert_eq!(keys.filter(b"\x10\x10\x10y"), (b"\x10\x10\x10y".to_vec(), false));
    }
}
