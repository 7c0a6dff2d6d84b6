//! Events as people read them: one alone, or many in a digest.
//!
//! Invariants:
//! 1. Every record that a digest was made of is counted in it, in a line that names its object and reason.
//! 2. No text is cut within a character, and nothing that a terminal or a chat would obey gets through.
//! 3. The same records make the same text, whenever it is made.

mod card;
mod digest;
mod markup;
mod moment;
mod notice;
mod text;

pub use card::Card;
pub use digest::{Digest, Group};
pub use markup::Markup;
pub use moment::Moment;
pub use notice::Notice;
pub use text::{cut, on_one_line, printable};
