//! An application's id and secret as a header carries them.
use axum::http::{HeaderMap, header};

/// The id and the secret, where they are there and can be read.
pub(super) fn client(headers: &HeaderMap) -> Option<(String, String)> {
    let packed = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Basic ")?;
    let text = String::from_utf8(unpack(packed.trim_end_matches('='))?).ok()?;
    text.split_once(':').map(|(id, secret)| (id.to_owned(), secret.to_owned()))
}

/// Base64.
fn unpack(text: &str) -> Option<Vec<u8>> {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut held, mut bytes) = (0_u32, 0_u32, Vec::new());
    for digit in text.chars() {
        bits = bits << 6 | u32::try_from(DIGITS.find(digit)?).ok()?;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xff).ok()?);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_in_the_header_is_read() {
        assert_eq!(unpack("Y2lkMTpjc2VjMQ"), Some(b"cid1:csec1".to_vec()));
        assert_eq!(unpack("Y2lkMT*j"), None);
    }
}
