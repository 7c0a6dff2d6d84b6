//! Parts of the documents, to be typed and compared.

use crate::rendering::repository;

/// The operators' guide.
pub(crate) const GUIDE: &str = "docs/operators-guide.md";

/// Its twin.
pub(crate) const GUIDE_IN_CHINESE: &str = "docs/operators-guide.zh-CN.md";

/// The text below a heading, up to the next one of its level or above.
pub(crate) fn section(document: &str, heading: &str) -> String {
    let text = std::fs::read_to_string(repository(document)).expect(document);
    let start = text
        .find(&format!("\n{heading}\n"))
        .unwrap_or_else(|| panic!("{document} has no {heading}"));
    let section = &text[start + heading.len() + 1..];
    let level = heading.split(' ').next().expect("a level").len();
    let ends = (2..=level).filter_map(|level| section.find(&format!("\n{} ", "#".repeat(level))));
    section[..ends.min().unwrap_or(section.len())].to_owned()
}

/// The blocks of a language below a heading: `sh` for commands.
pub(crate) fn blocks(document: &str, heading: &str, language: &str) -> Vec<String> {
    let section = section(document, heading);
    let fence = format!("```{language}\n");
    let blocks = section.split(&fence).skip(1);
    blocks.map(|block| block.split("```").next().expect("a block").to_owned()).collect()
}
