//! Reads configuration types out of a tree, and says where it failed and in which words.
//!
//! Invariant: every [`Fault`] that leaves here has a place.
//!
//! Text is accepted where it is written as a number (`cluster: 5`), as YAML readers do; the type
//! itself then says what is wrong with it (`"30" is not a duration`).

use serde::Deserializer;
use serde::de::{
    DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::fault::Fault;
use super::tree::{Content, Key, Node};

impl Node {
    /// Something else was expected here. Text is not shown: it may be a secret in the wrong place.
    fn refused(&self, expected: &str) -> Fault {
        let found = match &self.content {
            Content::Null => "nothing".to_owned(),
            Content::Bool(value) => value.to_string(),
            Content::Integer(_, written) | Content::Float(_, written) => {
                format!("the number {written}")
            }
            Content::Text(_) => "text".to_owned(),
            Content::List(_) => "a list".to_owned(),
            Content::Mapping(_) => "a mapping".to_owned(),
        };
        Fault::at(self.place, format!("expected {expected}, found {found}"))
    }

    /// The whole number in here, if it lies within the bounds.
    fn integer(&self, least: i128, most: i128) -> Result<i128, Fault> {
        match &self.content {
            Content::Integer(value, _) if (least..=most).contains(value) => Ok(*value),
            _ => Err(self.refused(&format!("a whole number from {least} to {most}"))),
        }
    }
}

/// A deserialize function for a type of whole number.
macro_rules! whole_number {
    ($($function:ident $type:ty => $visit:ident;)*) => {$(
        fn $function<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            let value = self.integer(<$type>::MIN.into(), <$type>::MAX.into())?;
            let value = <$type>::try_from(value).map_err(|error| Fault::at(self.place, error.to_string()))?;
            visitor.$visit(value).map_err(|fault: Fault| fault.or_at(self.place))
        }
    )*};
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.content {
            Content::Null => visitor.visit_unit(),
            Content::Bool(value) => visitor.visit_bool(*value),
            Content::Integer(value, _) => match (u64::try_from(*value), i64::try_from(*value)) {
                (Ok(value), _) => visitor.visit_u64(value),
                (_, Ok(value)) => visitor.visit_i64(value),
                _ => Err(self.refused("a number of at most 64 bits")),
            },
            Content::Float(value, _) => visitor.visit_f64(*value),
            Content::Text(text) => visitor.visit_borrowed_str(text),
            Content::List(items) => visitor.visit_seq(Items(items.iter())),
            Content::Mapping(entries) => visitor.visit_map(Entries::new(entries)),
        }
        .map_err(|fault: Fault| fault.or_at(self.place))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.content {
            Content::Bool(value) => visitor.visit_bool(value),
            _ => Err(self.refused("true or false")),
        }
    }

    whole_number! {
        deserialize_u8 u8 => visit_u8;
        deserialize_u16 u16 => visit_u16;
        deserialize_u32 u32 => visit_u32;
        deserialize_u64 u64 => visit_u64;
        deserialize_i8 i8 => visit_i8;
        deserialize_i16 i16 => visit_i16;
        deserialize_i32 i32 => visit_i32;
        deserialize_i64 i64 => visit_i64;
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.content {
            Content::Text(text) | Content::Integer(_, text) | Content::Float(_, text) => {
                visitor.visit_borrowed_str(text)
            }
            _ => return Err(self.refused("text")),
        }
        .map_err(|fault: Fault| fault.or_at(self.place))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.content {
            Content::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
        .map_err(|fault: Fault| fault.or_at(self.place))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self).map_err(|fault: Fault| fault.or_at(self.place))
    }

    /// A key without a value is an empty list.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.content {
            Content::Null => visitor.visit_seq(Items([].iter())),
            Content::List(items) => visitor.visit_seq(Items(items.iter())),
            _ => return Err(self.refused("a list")),
        }
        .map_err(|fault: Fault| fault.or_at(self.place))
    }

    /// A key without a value is an empty mapping: whoever comments out everything under `log:`
    /// means the defaults.
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.content {
            Content::Null => visitor.visit_map(Entries::new(&[])),
            Content::Mapping(entries) => visitor.visit_map(Entries::new(entries)),
            _ => return Err(self.refused("a mapping (key: value)")),
        }
        .map_err(|fault: Fault| fault.or_at(self.place))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match &self.content {
            Content::Text(text) => {
                visitor.visit_enum(IntoDeserializer::<Fault>::into_deserializer(text.as_str()))
            }
            Content::Mapping(entries) => match entries.as_slice() {
                [(key, value)] => visitor.visit_enum(Variant { key, value }),
                _ => return Err(self.refused("a mapping with one key")),
            },
            _ => return Err(self.refused("text")),
        }
        .map_err(|fault: Fault| fault.or_at(self.place))
    }

    serde::forward_to_deserialize_any! {
        i128 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

/// The items of a list.
struct Items<'de>(std::slice::Iter<'de, Node>);

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Fault;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Fault> {
        self.0
            .next()
            .map(|item| seed.deserialize(item).map_err(|fault| fault.or_at(item.place)))
            .transpose()
    }
}

/// The entries of a mapping.
struct Entries<'de> {
    rest: std::slice::Iter<'de, (Key, Node)>,
    value: Option<&'de Node>,
}

impl<'de> Entries<'de> {
    fn new(entries: &'de [(Key, Node)]) -> Self {
        Self { rest: entries.iter(), value: None }
    }
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Fault;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Fault> {
        let Some((key, value)) = self.rest.next() else { return Ok(None) };
        self.value = Some(value);
        let text = IntoDeserializer::<Fault>::into_deserializer(key.text.as_str());
        seed.deserialize(text).map(Some).map_err(|fault| fault.or_at(key.place))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Fault> {
        let value = self.value.take().ok_or_else(|| {
            <Fault as serde::de::Error>::custom("a value was asked for before its key")
        })?;
        seed.deserialize(value).map_err(|fault| fault.or_at(value.place))
    }
}

/// A variant that carries a value: a mapping with its name as the only key.
struct Variant<'de> {
    key: &'de Key,
    value: &'de Node,
}

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = Fault;
    type Variant = &'de Node;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self::Variant), Fault> {
        let name = IntoDeserializer::<Fault>::into_deserializer(self.key.text.as_str());
        let name = seed.deserialize(name).map_err(|fault| fault.or_at(self.key.place))?;
        Ok((name, self.value))
    }
}

impl<'de> VariantAccess<'de> for &'de Node {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        match self.content {
            Content::Null => Ok(()),
            _ => Err(self.refused("nothing")),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Fault> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_map(visitor)
    }
}
