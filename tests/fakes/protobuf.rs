//! Protocol buffers, read without any library for them: what a sink writes is not checked by what it was
//! written with.

/// A value; numbers of four bytes are numbers, too.
pub enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    pub fn number(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Bytes(_) => None,
        }
    }

    pub fn bytes(&self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Number(_) => None,
        }
    }

    pub fn text(&self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }
}

/// Tags and values of a message, in order.
pub fn fields(mut bytes: &[u8]) -> Option<Vec<(u64, Field<'_>)>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        if key & 7 == 5 {
            let (value, rest) = bytes.split_first_chunk::<4>()?;
            bytes = rest;
            fields.push((key >> 3, Field::Number(u32::from_le_bytes(*value).into())));
            continue;
        }
        let value = varint(&mut bytes)?;
        fields.push((
            key >> 3,
            match key & 7 {
                0 => Field::Number(value),
                2 => {
                    let (value, rest) = bytes.split_at_checked(usize::try_from(value).ok()?)?;
                    bytes = rest;
                    Field::Bytes(value)
                }
                _ => return None,
            },
        ));
    }
    Some(fields)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}
