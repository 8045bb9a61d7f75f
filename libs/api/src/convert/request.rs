//! What clients ask: environment variables and ports.

use super::ConvertError;
use crate::v1::EnvVar;

/// More variables are refused.
pub const MAX_VARIABLES: usize = 1000;

/// Longer values are refused: Linux takes no argument or variable above 128 KiB.
const MAX_VALUE: usize = 128 * 1024 - 1024;

/// Checks variables before anything is started with them.
pub fn check_variables(variables: &[EnvVar]) -> Result<(), ConvertError> {
    if variables.len() > MAX_VARIABLES {
        return Err(ConvertError::TooManyVariables(variables.len()));
    }
    for variable in variables {
        let wrong = |why| ConvertError::Variable { name: variable.name.chars().take(60).collect(), why };
        if !is_name(&variable.name) {
            return Err(wrong("that is not a name"));
        }
        if variable.value.contains('\0') {
            return Err(wrong("its value has a zero byte"));
        }
        if variable.name.len() + variable.value.len() > MAX_VALUE {
            return Err(wrong("it is longer than 127 KiB"));
        }
    }
    Ok(())
}

/// Checks a port.
pub fn check_port(port: u32) -> Result<u16, ConvertError> {
    u16::try_from(port).ok().filter(|port| *port > 0).ok_or(ConvertError::Port(port))
}

fn is_name(name: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    !name.is_empty() && name.len() <= 256 && name.bytes().all(inside) && !name.as_bytes()[0].is_ascii_digit()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, value: &str) -> Result<(), ConvertError> {
        check_variables(&[EnvVar { name: name.into(), value: value.into() }])
    }

    #[test]
    fn a_variable_has_a_name_that_a_shell_can_read() {
        check("_A1", "any = thing\nat all").expect("good");
        for bad in ["", "1A", "A-B", "A=B", "A B", "Ä", "A\0"] {
            check(bad, "").expect_err(bad);
        }
        check("A", "zero\0byte").expect_err("zero byte");
        check("A", &"x".repeat(MAX_VALUE)).expect_err("too long");
        check_variables(&vec![EnvVar::default(); MAX_VARIABLES + 1]).expect_err("too many");
    }

    #[test]
    fn a_port_is_from_1_to_65535() {
        assert_eq!(check_port(65535), Ok(65535));
        for bad in [0, 65536, u32::MAX] {
            assert_eq!(check_port(bad), Err(ConvertError::Port(bad)));
        }
    }
}
